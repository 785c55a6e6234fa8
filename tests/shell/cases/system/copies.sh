#!/usr/bin/env bash
# TIMEOUT: 60
# S-164: of a file system that is mounted elsewhere too, umount(8) unmounts the one place and stops
# nothing; the last one is unmounted in the orderly way. So it is in another namespace.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
mkdir "$TEST_DIR"/{back,bind}
line noauto
expect 0 mount "$TEST_MNT"
pid=$(daemon_pid)
mount --bind "$TEST_MNT" "$TEST_DIR/bind"
puppet holder
ask_ok holder open f c "$TEST_MNT/f"
expect 32 umount.minirdr "$TEST_MNT"
assert_has "$err" "target is busy" "holder["
ask_ok holder close f
wait_until "it can be unmounted" umount.minirdr "$TEST_MNT"
is_mounted "$TEST_MNT" && fail "still there"
expect 0 rdr list
assert_has "$out" "running" "($TEST_MNT)"
ask_ok holder open f w "$TEST_DIR/bind/f"
ask_ok holder write f text
expect 32 umount.minirdr "$TEST_DIR/bind"
assert_has "$err" "target is busy: 1 holder" "holder["
ask_ok holder close f
expect 0 umount.minirdr "$TEST_DIR/bind"
assert_eq "$err" ""
wait_until "the daemon has ended" ended "$pid"
is_gone || fail "something of the mount is still there"
assert_eq "$(cat "$TEST_DIR/back/f")" text

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

say "in another namespace"
unshare -m --propagation private tail -f /dev/null &
sleeper=$!
own=$(readlink /proc/self/ns/mnt)
elsewhere() { [ "$(readlink "/proc/$sleeper/ns/mnt")" != "$own" ]; }
wait_until "it is in its own" elsewhere
expect 0 mount.minirdr "local:$TEST_DIR/back" "$TEST_MNT" -o name=t -N "$sleeper"
is_mounted "$TEST_MNT" && fail "it is mounted here"
pid=$(daemon_pid)
there() { nsenter -t "$sleeper" -m "$@"; }
assert_eq "$(there cat "$TEST_MNT/f")" text
expect 32 umount.minirdr "$TEST_MNT"
assert_has "$err" "not mounted"
expect 0 umount.minirdr "$TEST_MNT" -N "/proc/$sleeper/ns/mnt"
wait_until "the daemon has ended" ended "$pid"
expect 1 umount.minirdr "$TEST_MNT" -N /none
assert_one_line "$err"
kill "$sleeper"
