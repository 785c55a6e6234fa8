#!/usr/bin/env bash
# TIMEOUT: 30
# S-39: with survivors=stale a handle from before a stop answers ESTALE until it is closed.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory: -o survivors=stale
puppet holder
ask_ok holder open f c "$TEST_MNT/f"
ask_ok holder write f text
expect 10 rdr stop t --wait
ask_error holder ESHUTDOWN pread f 0 4
ask_error holder ESHUTDOWN write f more
expect 0 rdr start t
assert_eq "$(rdr status t --json | jq .mount.survivors)" 1
ask_error holder ESTALE pread f 0 4
ask_error holder ESTALE write f more
assert_eq "$(cat "$TEST_MNT/f")" text
ask_ok holder close f
left() { [ "$(rdr status t --json | jq .mount.survivors)" = 0 ]; }
wait_until "the survivor is gone" left
