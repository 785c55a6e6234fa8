#!/usr/bin/env bash
# TIMEOUT: 30
# S-03: a mount that is stopped already can be unmounted like any other.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
pid=$(daemon_pid)
expect 0 rdr stop t --wait
expect 0 rdr umount t
! is_mounted "$TEST_MNT" || fail "still mounted"
is_gone || fail "its socket is still there"
wait_until "the daemon has ended" ended "$pid"
