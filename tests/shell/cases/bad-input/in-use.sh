#!/usr/bin/env bash
# TIMEOUT: 30
# S-08: a mount point in use, a name that is taken: one line, exit 1, and what was there stays.
. "$TEST_LIB/common.sh"
mount_rdr memory:
echo hello >"$TEST_MNT/f"
expect 1 rdr mount memory: "$TEST_MNT" --name other
assert_one_line "$err"
assert_has "$err" "$TEST_MNT is a mount point in use"
mkdir "$TEST_DIR/mnt2"
expect 1 rdr mount memory: "$TEST_DIR/mnt2" --name t
assert_one_line "$err"
assert_has "$err" "the name t is taken by the mount on $TEST_MNT"
! is_mounted "$TEST_DIR/mnt2" || fail "it was mounted"
assert_eq "$(cat "$TEST_MNT/f")" hello
assert_eq "$(find "$TEST_DIR/run" -name '*.sock' | wc -l)" 1 sockets
