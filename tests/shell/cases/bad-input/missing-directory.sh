#!/usr/bin/env bash
# TIMEOUT: 30
# S-08: a source or mount point that is not there, or is no directory: one line, exit 1.
. "$TEST_LIB/common.sh"
touch "$TEST_DIR/file"
wrong() {
  expect 1 rdr "${@:2}"
  assert_one_line "$err"
  assert_has "$err" "$1"
}
wrong "$TEST_DIR/nowhere: No such file or directory" mount memory: "$TEST_DIR/nowhere"
wrong "$TEST_DIR/file: not a directory" mount memory: "$TEST_DIR/file"
wrong "$TEST_DIR/nowhere: No such file or directory" mount "local:$TEST_DIR/nowhere" "$TEST_MNT"
wrong "$TEST_DIR/file: not a directory" mount "local:$TEST_DIR/file" "$TEST_MNT"
! is_mounted "$TEST_MNT" || fail "something was mounted"
assert_eq "$(find "$TEST_DIR/run" -type s)" "" "sockets"
