#!/usr/bin/env bash
# TIMEOUT: 60
# S-164: a copy that is unmounted in any way, -f, too, ends neither the original nor its daemon; nor
# is the daemon of what lies below it asked.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
mkdir "$TEST_DIR"/{back,bind}
line noauto
say "the copy goes first, in every way"
for way in "" -f -l; do
  expect 0 mount "$TEST_MNT"
  pid=$(daemon_pid)
  mount --bind "$TEST_MNT" "$TEST_DIR/bind"
  # shellcheck disable=SC2086 # No word at all is one of the ways.
  expect 0 umount.minirdr "$TEST_DIR/bind" $way
  assert_has "$err" "mounted elsewhere still"
  is_mounted "$TEST_DIR/bind" && fail "the copy is still there"
  is_mounted "$TEST_MNT" || fail "the original is gone"
  is_state running || fail "it was stopped"
  ended "$pid" && fail "its daemon has ended"
  expect 0 umount "$TEST_MNT"
  wait_until "the daemon has ended" ended "$pid"
done

say "another mount's copy lies over one"
mkdir "$TEST_DIR/other"
expect 0 mount "$TEST_MNT"
expect 0 rdr mount memory: "$TEST_DIR/other" --name zz
mount --bind "$TEST_DIR/other" "$TEST_MNT"
expect 0 umount.minirdr "$TEST_MNT"
assert_has "$err" "mounted elsewhere still"
expect 0 rdr list
assert_has "$out" " $TEST_MNT" " $TEST_DIR/other"
is_state running || fail "the mount below was stopped"
expect 0 umount.minirdr "$TEST_DIR/other"
expect 0 umount.minirdr "$TEST_MNT"
wait_until "nothing is left" is_gone
