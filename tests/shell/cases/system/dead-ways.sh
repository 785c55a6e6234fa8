#!/usr/bin/env bash
# TIMEOUT: 60
# S-165: a dead mount goes with -f, and one that hangs with -l, by root and by whose it is.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
each_of() { # each_of WHO : root, or the user whose mount it is
  expect 0 "$1" "$MINIRDR" mount memory: "$TEST_MNT" --name t
  pid=$("$1" "$MINIRDR" status t --json | jq .mount.pid)
  kill -9 "$pid"
  wait_until "it has ended" ended "$pid"
  expect 0 "$1" umount.minirdr "$TEST_MNT" -f
  is_mounted "$TEST_MNT" && fail "still there"
  assert_eq "$err" ""
  expect 0 "$1" "$MINIRDR" mount memory: "$TEST_MNT" --name t
  pid=$("$1" "$MINIRDR" status t --json | jq .mount.pid)
  kill -STOP "$pid"
  took_less 20 expect 0 "$1" umount.minirdr "$TEST_MNT" -l
  assert_has "$err" "may not be done yet"
  is_mounted "$TEST_MNT" && fail "still there"
  kill -CONT "$pid"
  wait_until "the daemon has ended" ended "$pid"
}
each_of env
rm -rf "$TEST_DIR/run/minirdr"
of_ana
each_of ana
