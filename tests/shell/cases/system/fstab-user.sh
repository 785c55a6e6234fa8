#!/usr/bin/env bash
# TIMEOUT: 60
# S-160: the same for a normal user, with a line of fstab that says `user`.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
of_ana
line noauto,user
expect 0 ana mount "$TEST_MNT"
assert_eq "$out$err" ""
shown=$(findmnt -no SOURCE,FSTYPE,OPTIONS "$TEST_MNT")
assert_has "$shown" "local:$TEST_DIR/back fuse.minirdr" rw,nosuid,nodev,noexec user_id=60001
pid=$(ana "$MINIRDR" status t --json | jq .mount.pid)
assert_eq "$(stat -c %u "/proc/$pid")" 60001
ana sh -c "echo hello >$TEST_MNT/f"
mkfifo "$TEST_DIR/go"
chmod 666 "$TEST_DIR/go"
ana sh -c "exec 9>$TEST_MNT/held; touch $TEST_DIR/tmp/open; read -r line <$TEST_DIR/go" &
wait_until "the file is open" test -e "$TEST_DIR/tmp/open"
expect 32 ana umount "$TEST_MNT"
assert_has "$err" "$TEST_MNT: target is busy: 1 holder" "sh[" held
assert_eq "$(ana "$MINIRDR" status t --json | jq -r .mount.state)" running
echo >"$TEST_DIR/go"
wait
expect 0 ana umount "$TEST_MNT"
assert_eq "$out$err" ""
wait_until "the daemon has ended" ended "$pid"
is_gone || fail "something of the mount is still there"
assert_eq "$(cat "$TEST_DIR/back/f")" hello
assert_eq "$(utab)" ""

say "root unmounts it in the orderly way, too"
expect 0 ana mount "$TEST_MNT"
expect 0 umount -a -t fuse.minirdr
is_gone || fail "something of the mount is still there"

say "what is root's is not hers"
mkdir -m 755 "$TEST_DIR/roots"
export XDG_RUNTIME_DIR=$TEST_DIR/roots
expect 0 mount -t minirdr -o name=t memory: "$TEST_MNT"
expect 1 ana umount "$TEST_MNT"
assert_has "$err" "not permitted"
assert_one_line "$err"
is_mounted "$TEST_MNT" || fail "she has unmounted it"
expect 0 umount "$TEST_MNT"
