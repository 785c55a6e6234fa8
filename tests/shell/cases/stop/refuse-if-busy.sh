#!/usr/bin/env bash
# TIMEOUT: 30
# S-33: with --if-busy refuse a stop of a mount with open handles ends with 10 and changes nothing.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
puppet holder
ask_ok holder open f c "$TEST_MNT/f"
expect 10 rdr stop t --if-busy refuse --wait
assert_has "$out" "t: not stopped: 1 handle open" "holder["
is_state running || fail "it was changed"
ask_ok holder write f text
ask_ok holder close f
closed() { [ "$(rdr status t --json | jq .mount.open_handles)" = 0 ]; }
wait_until "the close has arrived" closed
expect 0 rdr stop t --if-busy refuse --wait
