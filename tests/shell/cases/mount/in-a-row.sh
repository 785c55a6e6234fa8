#!/usr/bin/env bash
# TIMEOUT: 60
# S-03: when `umount` has ended its name and directory are free: the next `mount` always works.
. "$TEST_LIB/common.sh"
mkdir "$TEST_DIR/back"
for _ in $(seq 20); do
  mount_rdr "local:$TEST_DIR/back"
  echo hello >"$TEST_MNT/f"
  expect 0 rdr umount t
done
