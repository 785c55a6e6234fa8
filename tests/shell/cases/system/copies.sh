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
