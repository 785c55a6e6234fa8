#!/usr/bin/env bash
# TIMEOUT: 30
# S-50: events -f goes on with what happens, and ends when the daemon does.
. "$TEST_LIB/common.sh"
mount_rdr memory:
rdr events t -f >"$TEST_DIR/events" 2>&1 &
pid=$!
wait_until "it has begun" grep -q started "$TEST_DIR/events"
expect 0 rdr stop t --wait
wait_until "the stop is told" grep -q " stopped " "$TEST_DIR/events"
expect 0 rdr umount t
expect 0 wait "$pid"
