#!/usr/bin/env bash
# TIMEOUT: 40
# S-06: a daemon that was killed is told apart from a stopped one: ENOTCONN, exit 4, and a way out.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
pid=$(daemon_pid)
kill -9 "$pid"
wait_until "it is gone" ended "$pid"
assert_errno "Transport endpoint is not connected" cat "$TEST_MNT/f"
expect 4 rdr status t
assert_one_line "$err"
assert_has "$err" "minirdr doctor"
run rdr doctor
assert_has "$out$err" "$TEST_MNT"
umount "$TEST_MNT" || fusermount3 -u "$TEST_MNT"
# The socket it left is no obstacle.
mount_rdr memory:
expect 0 rdr status t
