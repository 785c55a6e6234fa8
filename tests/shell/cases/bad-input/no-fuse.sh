#!/usr/bin/env bash
# TIMEOUT: 30
# S-08: without /dev/fuse: one line that says so, exit 1, nothing left behind.
. "$TEST_LIB/common.sh"
need_root && need unshare
unshare -m true 2>/dev/null || skip "needs unshare -m"
cat >"$TEST_DIR/inside" <<'INSIDE'
mount --make-rprivate / && mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3
exec "$MINIRDR" mount memory: "$TEST_MNT" --name t
INSIDE
expect 1 unshare -m sh "$TEST_DIR/inside"
assert_one_line "$err"
assert_has "$err" "/dev/fuse"
assert_eq "$(find "$TEST_DIR/run" -type s)" "" sockets
