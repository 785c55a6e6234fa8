#!/usr/bin/env bash
# TIMEOUT: 30
# S-46: HUP reopens the log, USR1 writes the state into it, USR2 switches debug on and off.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
pid=$(daemon_pid)
log=$TEST_DIR/daemon.log
mv "$log" "$log.old"
kill -HUP "$pid"
wait_until "the log is there again" test -e "$log"
kill -USR1 "$pid"
wait_until "the state is in the log" grep -q "running" "$log"
kill -USR2 "$pid"
debug_grows() { touch "$TEST_MNT/f" && grep -qi debug "$log"; }
wait_until "debug lines are in the log" debug_grows
kill -USR2 "$pid"
expect 0 rdr status t
