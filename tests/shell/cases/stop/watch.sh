#!/usr/bin/env bash
# TIMEOUT: 60
# S-59: handles --watch shows the list shrinking while a stop waits in its grace: who left what, and
# how many are left; with --json an object a line. It ends when the daemon does.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
mkdir "$TEST_MNT/scenes"
puppet bash1
puppet nginx
ask_ok bash1 cd "$TEST_MNT/scenes"
ask_ok nginx open f c "$TEST_MNT/logo.png"
ask_ok nginx write f text
ask_ok nginx close f
ask_ok nginx open f r "$TEST_MNT/logo.png"
rdr handles t --watch >"$TEST_DIR/lines" 2>"$TEST_DIR/err.lines" &
watching=$!
rdr handles t --watch --json >"$TEST_DIR/objects" &
saw() { grep -qF -- "$1" "$TEST_DIR/lines"; }
objects() { jq -es "$1" "$TEST_DIR/objects"; }
wait_until "the table" saw "t: 2 holders, 0 B unsent"
wait_until "the first object" objects '.[0].verb == "handles" and (.[0].holders | length) == 2'
expect 0 rdr stop t --grace 10m
ask_ok bash1 cd /
wait_until "the shell has left" saw \
  "  1 holder, 0 B unsent  bash1[${puppet_pid[bash1]}] left scenes/"
ask_ok nginx close f
wait_until "nobody is left" saw \
  "  0 holders, 0 B unsent  nginx[${puppet_pid[nginx]}] left logo.png"
wait_until "the last object" objects \
  '.[-1].holders == [] and ([.[].left[].path] | sort) == ["logo.png", "scenes"]'
expect 0 rdr wait t
expect 0 rdr umount t
wait_until "the watch has ended" ended "$watching"
code=0
wait "$watching" || code=$?
assert_eq "$code" 3
assert_has "$(cat "$TEST_DIR/err.lines")" "its daemon has ended"
