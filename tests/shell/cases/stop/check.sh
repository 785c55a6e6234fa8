#!/usr/bin/env bash
# TIMEOUT: 30
# S-33: --check names every program and path that holds the mount, ends with 10, changes nothing.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
expect 0 rdr stop t --check
assert_has "$out" "t: would wait for nobody"
mkdir "$TEST_MNT/dir"
puppet blender
puppet shell
ask_ok blender open a c "$TEST_MNT/scene"
ask_ok blender write a text
ask_ok blender open b r "$TEST_MNT/scene"
ask_ok blender map a 4
ask_ok shell cd "$TEST_MNT/dir"
for _ in 1 2; do
  expect 10 rdr stop t --check
  assert_has "$out" "t: would wait for " "HOLDER" "blender[${puppet_pid[blender]}]" \
    "shell[${puppet_pid[shell]}]" scene dir/ cwd handle mmap
done
is_state running || fail "it was changed"
ask_ok blender write a more
ask_ok blender unmap a
ask_ok blender close a
ask_ok blender close b
ask_ok shell cd /
expect 0 rdr stop t --check
is_state running || fail "it was changed"
