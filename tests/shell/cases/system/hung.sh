#!/usr/bin/env bash
# TIMEOUT: 60
# S-165: daemons that hang are given one time together, and hide none that answers.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
for name in a b c d; do
  mkdir "$TEST_DIR/$name"
  expect 0 rdr mount memory: "$TEST_DIR/$name" --name "$name"
  pids+=("$(rdr status "$name" --json | jq .mount.pid)")
done
mount_rdr memory:
pid=$(daemon_pid)
# It is asked last of all: its name is not its place's, and comes behind theirs.
kill -STOP "${pids[@]}"
took_less 20 expect 0 umount.minirdr "$TEST_MNT"
assert_eq "$err" ""
wait_until "the daemon has ended" ended "$pid"
say "one of those that hang"
took_less 12 expect 0 umount.minirdr -l "$TEST_DIR/a"
assert_has "$err" "its daemon was not found here"
kill -CONT "${pids[@]}"
for name in b c d; do expect 0 umount.minirdr "$TEST_DIR/$name"; done
for pid in "${pids[@]}"; do wait_until "it has ended" ended "$pid"; done
