#!/usr/bin/env bash
# TIMEOUT: 30
# S-03, S-47: stop --unmount takes the mount away too; a busy one stays, and is told who holds it.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
puppet holder
ask_ok holder cd "$TEST_MNT"
expect 10 rdr umount t
assert_has "$out" "$TEST_MNT is busy; rolled back, running" "holder["
is_state running || fail "it was not rolled back"
touch "$TEST_MNT/new"
ask_ok holder cd /
expect 0 rdr stop t --wait --unmount
assert_eq "$out" "t: stopped, nothing unsent, unmounted $TEST_MNT"
wait_until "nothing is left" is_gone
