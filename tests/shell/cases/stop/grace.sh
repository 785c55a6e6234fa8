#!/usr/bin/env bash
# TIMEOUT: 40
# S-41: during the grace of a stop open handles keep working; when the last closes it goes on.
. "$TEST_LIB/common.sh"
mount_rdr memory:
puppet holder
ask_ok holder open f c "$TEST_MNT/f"
expect 0 rdr stop t --grace 10m
assert_has "$out" pending
ask_ok holder write f text
assert_errno "Resource temporarily unavailable" cat "$TEST_MNT/f"
ask_ok holder close f
took_less 10 expect 0 rdr wait t
assert_eq "$out" "t: stopped, nothing unsent, still mounted"
# A grace that runs out leads on to the stop.
expect 0 rdr start t
ask_ok holder open f r "$TEST_MNT/f"
took_less 10 expect 10 rdr stop t --grace 300ms --wait
ask_ok holder close f
