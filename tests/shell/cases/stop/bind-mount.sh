#!/usr/bin/env bash
# TIMEOUT: 30
# S-38: a bind mount made before a stop works again after the start, and names the mount too.
. "$TEST_LIB/common.sh"
need_root
need jq
mount_rdr memory:
mkdir -p "$TEST_MNT/sub" "$TEST_DIR/bind"
echo hello >"$TEST_MNT/sub/f"
mount --bind "$TEST_MNT/sub" "$TEST_DIR/bind"
assert_eq "$(cat "$TEST_DIR/bind/f")" hello
expect 0 rdr stop t --wait
assert_errno "shutdown" cat "$TEST_DIR/bind/f"
expect 0 rdr start t
assert_eq "$(cat "$TEST_DIR/bind/f")" hello
echo more >>"$TEST_DIR/bind/f"
assert_eq "$(wc -l <"$TEST_MNT/sub/f")" 2
expect 0 rdr status "$TEST_DIR/bind"
assert_has "$out" "t: running"
umount "$TEST_DIR/bind"
