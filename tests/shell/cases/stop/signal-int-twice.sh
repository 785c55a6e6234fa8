#!/usr/bin/env bash
# TIMEOUT: 40
# S-46: after a first INT what can be cancelled waits its turn, behind what cannot; a second INT
# cancels it at once. What the server never answers is given up at the configured deadline.
. "$TEST_LIB/common.sh"
need jq python3
need_fuse
interruptible='import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])'
python3 -c "$interruptible" "$MINIRDR" mount faulty:memory: "$TEST_MNT" --name t -f \
  -o read=hang,write=hang-uncancellable,stop_deadline=5s >"$TEST_DIR/front.out" 2>&1 &
pid=$!
wait_until "it says so" grep -q "mounted on" "$TEST_DIR/front.out"
truncate -s 4096 "$TEST_MNT/f"
puppet reader
puppet writer
ask_ok reader open f r "$TEST_MNT/f"
ask_ok writer open g c "$TEST_MNT/g"
tell reader read f 5
tell writer write g text
running() { [ "$(rdr requests t --json | jq .requests_total)" -ge 2 ]; }
wait_until "both hang" running
kill -INT "$pid"
wait_until "it stops" is_state stopping
has_answered reader && fail "the read was cancelled by the first INT"
kill -INT "$pid"
assert_has "$(answer reader)" "error"
has_answered writer && fail "the write was given up before the deadline"
expect 13 wait "$pid"
is_gone || fail "the mount or its socket is still there"
