#!/usr/bin/env bash
# TIMEOUT: 60
# S-160: a line of fstab is mounted by mount(8); umount(8) refuses while somebody is inside, names
# him and changes nothing, and returns when all is saved and the daemon has ended.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
mkdir "$TEST_DIR/back"
line defaults,nofail,_netdev,x-foo=1,allow_other
expect 0 mount "$TEST_MNT"
assert_eq "$out$err" ""
shown=$(findmnt -no SOURCE,FSTYPE,OPTIONS "$TEST_MNT")
assert_has "$shown" "local:$TEST_DIR/back" fuse.minirdr rw,nosuid,nodev allow_other user_id=0
assert_has "$(utab)" helper=minirdr _netdev
pid=$(daemon_pid)
echo hello >"$TEST_MNT/f"
puppet holder
ask_ok holder open f c "$TEST_MNT/held"
ask_ok holder write f text
expect 32 umount "$TEST_MNT"
assert_eq "$out" ""
assert_has "$err" "umount.minirdr: $TEST_MNT: target is busy: 1 holder" "holder[" handle held
is_state running || fail "it was changed"
ask_ok holder write f more
ask_ok holder close f
expect 0 umount "$TEST_MNT"
assert_eq "$out$err" ""
wait_until "the daemon has ended" ended "$pid"
is_gone || fail "something of the mount is still there"
assert_eq "$(utab)" ""
assert_eq "$(cat "$TEST_DIR/back/f" "$TEST_DIR/back/held")" "hello
textmore"

say "as at shutdown"
expect 0 mount -a
expect 0 mount -a
mkdir "$TEST_DIR/other"
expect 0 mount -t fuse.minirdr -o name=other memory: "$TEST_DIR/other"
expect 0 umount -a -t fuse.minirdr
is_mounted "$TEST_MNT" && fail "still mounted"
is_mounted "$TEST_DIR/other" && fail "the other is still mounted"
expect 0 rdr list -n
assert_eq "$out" "0 mounts"

say "and nothing is left"
expect 0 rdr install-helpers --uninstall
assert_eq "$(find "$TEST_DIR/own/usr" -type f -o -type l)" ""
expect 32 mount "$TEST_MNT"
