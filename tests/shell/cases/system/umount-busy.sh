#!/usr/bin/env bash
# TIMEOUT: 60
# S-161: when somebody is inside, umount(8) is refused, with -c and -R too; with -l his file works
# on; with -f he is cut off. A working directory and another mount are inside.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
mkdir "$TEST_DIR/back"
line noauto
puppet holder
again() {
  expect 0 mount "$TEST_MNT"
  pid=$(daemon_pid)
  assert_has "$(utab)" helper=minirdr
}
over() {
  wait_until "the daemon has ended" ended "$pid"
  is_gone || fail "something of the mount is still there"
  assert_eq "$(utab)" "" "what libmount knows"
}
say "busy: -c, -R"
again
ask_ok holder open f c "$TEST_MNT/held"
for way in -c -R; do
  expect 32 umount "$way" "$TEST_MNT"
  assert_has "$err" "target is busy: 1 holder" "holder["
done
say "-l: it works on"
expect 0 umount -l "$TEST_MNT"
assert_has "$err" "detached; its daemon serves 1 holder still"
expect 0 rdr list
assert_has "$out" "($TEST_MNT)"
ask_ok holder write f text
ask_ok holder close f
over
assert_eq "$(cat "$TEST_DIR/back/held")" text
say "-f: it is cut off"
again
ask_ok holder open f c "$TEST_MNT/held"
expect 32 umount -f "$TEST_MNT"
assert_has "$err" "1 handle still open" "holder["
ask_error holder ESHUTDOWN write f text
ask_ok holder close f
expect 0 umount "$TEST_MNT"
over
say "a working directory is inside, too, and a mount"
again
ask_ok holder cd "$TEST_MNT"
expect 32 umount "$TEST_MNT"
assert_has "$err" cwd
ask_ok holder cd /
mkdir "$TEST_MNT/sub"
mount -t tmpfs none "$TEST_MNT/sub"
expect 32 umount "$TEST_MNT"
assert_has "$err" "target is busy: $TEST_MNT/sub is mounted inside"
expect 0 umount -R "$TEST_MNT"
over
