#!/usr/bin/env bash
# TIMEOUT: 60
# S-04: a normal user mounts with fusermount3, sees and stops what is theirs, and nobody else's.
. "$TEST_LIB/common.sh"
need_user
mkdir "$TEST_DIR/back" "$TEST_DIR/user"
chown -R 65534:65534 "$TEST_DIR"/{back,run,state,tmp,home,mnt,user}
expect 0 user "$MINIRDR" mount "local:$TEST_DIR/back" "$TEST_MNT" --name t
grep -F " $TEST_MNT " /proc/self/mountinfo | grep -q 'user_id=65534' || fail "not the user's mount"
user sh -c "echo hello >$TEST_MNT/f"
assert_eq "$(cat "$TEST_DIR/back/f")" hello
assert_eq "$(stat -c %u "$TEST_DIR/back/f")" 65534
assert_errno "Permission denied" cat "$TEST_MNT/f"
expect 0 user "$MINIRDR" stop t --wait
assert_errno "after transport endpoint shutdown" user cat "$TEST_MNT/f"
expect 0 user "$MINIRDR" start t
assert_eq "$(user cat "$TEST_MNT/f")" hello
expect 0 user "$MINIRDR" umount t
! is_mounted "$TEST_MNT" || fail "still mounted"
