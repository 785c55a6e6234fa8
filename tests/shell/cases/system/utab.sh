#!/usr/bin/env bash
# TIMEOUT: 60
# S-163: every mount of root's has its helper in libmount's table while it is mounted, whoever made
# it; where that cannot be, the mount is none the worse.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
over() {
  wait_until "the daemon has ended" ended "$pid"
  assert_eq "$(utab)" "" "what libmount knows"
}
mkdir "$TEST_DIR/a b"
mount_rdr "local:$TEST_DIR/a b"
pid=$(daemon_pid)
assert_eq "$(utab | grep -c helper=minirdr)" 1
expect 0 umount "$TEST_MNT"
assert_eq "$err" ""
over
mount_rdr memory:
pid=$(daemon_pid)
expect 0 rdr umount t
over
say "a daemon that was killed leaves a line, and who takes the dead mount away removes it"
mount_rdr memory:
pid=$(daemon_pid)
kill -9 "$pid"
wait_until "it has ended" ended "$pid"
mount_rdr memory:
assert_eq "$(utab | grep -c helper=minirdr)" 1
pid=$(daemon_pid)
kill -9 "$pid"
wait_until "it has ended" ended "$pid"
expect 0 umount "$TEST_MNT"
over
say "without util-linux, and with one that hangs"
mkdir "$TEST_DIR/bin"
ln -s "$MINIRDR" "$TEST_DIR/bin/minirdr"
expect 0 env PATH="$TEST_DIR/bin" minirdr mount memory: "$TEST_MNT" --name t
assert_eq "$(utab)" ""
expect 0 rdr umount t
printf '#!/bin/sh\nexec /bin/sleep 60\n' >"$TEST_DIR/bin/mount"
chmod 755 "$TEST_DIR/bin/mount"
took_less 8 env PATH="$TEST_DIR/bin" minirdr mount memory: "$TEST_MNT" --name t
took_less 8 rdr umount t
say "where the table cannot be written"
mount -t tmpfs -o ro none /run/mount
mount_rdr memory:
expect 0 umount -c "$TEST_MNT"
is_gone || fail "something of the mount is still there"
