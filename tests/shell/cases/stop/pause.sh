#!/usr/bin/env bash
# TIMEOUT: 30
# S-41: a paused mount refuses new opens with EAGAIN and serves what is open; resume takes it back.
. "$TEST_LIB/common.sh"
mount_rdr memory:
puppet holder
ask_ok holder open f c "$TEST_MNT/f"
expect 0 rdr pause t
assert_eq "$out" "t: paused: new opens are refused, open handles keep working"
expect 0 rdr pause t
assert_errno "Resource temporarily unavailable" cat "$TEST_MNT/f"
assert_errno "Resource temporarily unavailable" touch "$TEST_MNT/new"
ask_ok holder write f text
ask_ok holder fsync f
assert_eq "$(ask holder pread f 0 4)" "ok 4 text"
stat "$TEST_MNT/f" >/dev/null
expect 0 rdr resume t
assert_eq "$out" "t: running"
assert_eq "$(cat "$TEST_MNT/f")" text
expect 0 rdr stop t
expect 10 rdr wait t
expect 3 rdr pause t
expect 3 rdr resume t
