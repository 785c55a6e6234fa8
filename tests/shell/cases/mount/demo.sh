#!/usr/bin/env bash
# TIMEOUT: 90
# S-10: the tour goes through as root, every step seen to happen, and leaves nothing behind.
. "$TEST_LIB/common.sh"
need_fuse
expect 0 rdr demo
assert_has "$out" stop pending "already stopped" start umount
# Its own mounts are beneath its own temporary directory; others on this machine come and go.
assert_eq "$(grep -F "$TEST_DIR/tmp" /proc/self/mountinfo || true)" "" "mounts"
assert_eq "$(ls -A "$TEST_DIR/tmp")" "" "temporary files"
