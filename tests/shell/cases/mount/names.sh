#!/usr/bin/env bash
# TIMEOUT: 30
# S-02: every verb takes the mount's name or its mount point, however it is written.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
ln -s "$TEST_MNT" "$TEST_DIR/link"
cd "$TEST_DIR"
for name in t "$TEST_MNT" "$TEST_MNT/" ./mnt mnt/../mnt link; do
  case "$name" in */*) ;; *) [ "$name" = t ] || name=./$name ;; esac
  expect 0 rdr status "$name"
  assert_has "$out" "t: running"
done
expect 3 rdr status nobody
assert_one_line "$err"
assert_has "$err" "there is no mount named nobody"
expect 3 rdr status "$TEST_DIR/tmp"
assert_has "$err" "nothing of minirdr is mounted on $TEST_DIR/tmp"
