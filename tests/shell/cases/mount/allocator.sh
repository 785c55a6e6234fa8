#!/usr/bin/env bash
# TIMEOUT: 60
# Decision 23: the threads that give memory back run in a daemon that serves, in the background and
# in front; no command has them (system/copies.sh says why).
. "$TEST_LIB/common.sh"
need_root
need jq
ldd "$MINIRDR" 2>/dev/null | grep -q libc.so.6 || skip "needs glibc"
threads() { cat "/proc/$pid/task"/*/comm; }
has_them() { threads | grep -q jemalloc_bg_thd; }
mount_rdr memory:
pid=$(daemon_pid)
wait_until "the daemon has them" has_them
expect 0 rdr umount t
"$MINIRDR" mount memory: "$TEST_MNT" --name t --foreground >/dev/null &
wait_until "it is mounted" is_mounted "$TEST_MNT"
pid=$!
wait_until "the one in front has them" has_them
"$MINIRDR" events t --follow >/dev/null 2>&1 &
pid=$!
runs() { [ "$(readlink "/proc/$pid/exe")" = "$(readlink -f "$MINIRDR")" ]; }
wait_until "a command runs" runs
has_them && fail "a command has them"
expect 0 rdr umount t
wait
