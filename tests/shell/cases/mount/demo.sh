#!/usr/bin/env bash
# TIMEOUT: 90
# S-10: the tour goes through as root, every step seen to happen, and leaves nothing behind.
. "$TEST_LIB/common.sh"
need_fuse
before=$(cat /proc/self/mountinfo)
expect 0 rdr demo
assert_has "$out" stop pending "already stopped" start umount
assert_eq "$(cat /proc/self/mountinfo)" "$before" "mounts"
assert_eq "$(ls -A "$TEST_DIR/tmp")" "" "temporary files"
