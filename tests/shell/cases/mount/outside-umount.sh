#!/usr/bin/env bash
# TIMEOUT: 30
# S-07: when somebody else unmounts, the daemon finishes what it owes and goes.
. "$TEST_LIB/common.sh"
need jq
mkdir "$TEST_DIR/back"
mount_rdr "local:$TEST_DIR/back"
pid=$(daemon_pid)
echo hello >"$TEST_MNT/f"
umount "$TEST_MNT" || fusermount3 -u "$TEST_MNT"
wait_until "the daemon has ended" ended "$pid"
is_gone || fail "its socket is still there"
assert_eq "$(cat "$TEST_DIR/back/f")" hello
