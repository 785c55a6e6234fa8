#!/usr/bin/env bash
# TIMEOUT: 30
# S-08: a directory is not mounted inside itself; nothing is left behind.
. "$TEST_LIB/common.sh"
mkdir -p "$TEST_DIR/src/mnt"
expect 1 rdr mount "local:$TEST_DIR/src" "$TEST_DIR/src/mnt"
assert_one_line "$err"
assert_has "$err" "is inside what would be mounted there"
is_mounted "$TEST_DIR/src/mnt" && fail "it was mounted"
expect 0 rdr list
assert_has "$out" "0 mounts"
