#!/usr/bin/env bash
# TIMEOUT: 60
# S-165: what is no mount of ours is refused in one line; a dead one is unmounted; one that hangs
# holds nobody up, and -f ends it.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
one_line() { # one_line TEXT DIR [FLAG] : exit 32
  expect 32 umount.minirdr "${@:2}"
  assert_has "$err" "umount.minirdr: $2" "$1"
  assert_one_line "$err"
}
one_line "not mounted" "$TEST_MNT"
one_line "not mounted" "$TEST_DIR/none"
mount -t tmpfs none "$TEST_MNT"
one_line "a mount of type tmpfs, not of minirdr" "$TEST_MNT"
umount "$TEST_MNT"
expect 2 umount.minirdr
assert_one_line "$err"

say "a dead one"
mount_rdr memory:
pid=$(daemon_pid)
kill -9 "$pid"
wait_until "it has ended" ended "$pid"
expect 0 umount "$TEST_MNT"
is_mounted "$TEST_MNT" && fail "still there"
assert_eq "$err" ""

say "one that hangs"
mount_rdr memory:
pid=$(daemon_pid)
kill -STOP "$pid"
took_less 20 expect 0 umount.minirdr "$TEST_MNT" -f
assert_has "$err" "may not be done yet"
is_mounted "$TEST_MNT" && fail "still there"
kill -CONT "$pid"
wait_until "the daemon has ended" ended "$pid"

say "one whose daemon is found nowhere"
mount_rdr memory:
pid=$(daemon_pid)
mkdir "$TEST_DIR/none"
expect 0 env XDG_RUNTIME_DIR="$TEST_DIR/none" umount "$TEST_MNT"
assert_has "$err" "its daemon was not found here"
wait_until "the daemon has ended" ended "$pid"
is_gone || fail "something of the mount is still there"
