#!/usr/bin/env bash
# TIMEOUT: 30
# S-48: a wait that is interrupted ends with 130; the stop goes on.
. "$TEST_LIB/common.sh"
need jq python3
mount_rdr faulty:memory: -o write=hang
puppet writer
ask_ok writer open f c "$TEST_MNT/f"
tell writer write f text
running() { rdr requests t | grep -q write; }
wait_until "the write hangs" running
# A shell in the background ignores INT, and its children with it.
interruptible='import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])'
python3 -c "$interruptible" "$MINIRDR" stop t --wait >"$TEST_DIR/stop.out" 2>&1 &
pid=$!
wait_until "it says that it waits" grep -q "waiting" "$TEST_DIR/stop.out"
kill -INT "$pid"
expect 130 wait "$pid"
assert_has "$(cat "$TEST_DIR/stop.out")" "t: interrupted; ticket 2 goes on"
is_state stopping || fail "the stop was taken back"
kill -9 "${puppet_pid[writer]}"
took_less 10 run rdr wait t
