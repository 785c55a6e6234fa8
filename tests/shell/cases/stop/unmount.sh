#!/usr/bin/env bash
# TIMEOUT: 30
# S-03, S-47: stop --unmount takes the mount away too; a busy one stays, stopped, and is told who
# holds it; asked again when the holder has left, it goes.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
puppet holder
ask_ok holder cd "$TEST_MNT"
expect 10 rdr umount t
assert_has "$out" "stopped, but still mounted: $TEST_MNT is busy, 1 holder" "holder["
is_state stopped || fail "it is not stopped"
ask_ok holder cd /
expect 0 rdr stop t --wait --unmount
assert_eq "$out" "t: already stopped, unmounted $TEST_MNT"
wait_until "nothing is left" is_gone
