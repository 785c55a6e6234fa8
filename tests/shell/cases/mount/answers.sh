#!/usr/bin/env bash
# TIMEOUT: 30
# S-01, S-03: once `mount` has ended the mount works; once `umount` has ended nothing is left.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
assert_eq "$out" "t: memory: mounted on $TEST_MNT"
echo hello >"$TEST_MNT/f"
assert_eq "$(cat "$TEST_MNT/f")" hello
assert_eq "$(findmnt -no FSTYPE "$TEST_MNT" 2>/dev/null || stat -fc %T "$TEST_MNT")" fuse.minirdr
pid=$(daemon_pid)
expect 0 rdr umount t
assert_eq "$out" "t: stopped, nothing unsent, unmounted $TEST_MNT"
is_gone || fail "the mount or its socket is still there"
wait_until "the daemon has ended" ended "$pid"
assert_eq "$(ls -A "$TEST_MNT")" ""
# The name and the directory can be used again at once.
mount_rdr memory:
assert_eq "$(ls -A "$TEST_MNT")" ""
