#!/usr/bin/env bash
# TIMEOUT: 30
# S-03, S-47: stop --unmount takes the mount away too; where somebody is still inside it stays, stopped,
# and the answer names them.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
puppet holder
ask_ok holder cd "$TEST_MNT"
expect 10 rdr umount t
assert_has "$out" "t: stopped, but still mounted: $TEST_MNT is busy, 1 holder" "holder[" cwd
is_state stopped || fail "it is not stopped"
expect 0 rdr start t
touch "$TEST_MNT/new"
ask_ok holder cd /
expect 0 rdr stop t --wait --unmount
assert_eq "$out" "t: stopped, nothing unsent, unmounted $TEST_MNT"
wait_until "nothing is left" is_gone
