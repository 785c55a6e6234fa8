#!/usr/bin/env bash
# TIMEOUT: 40
# S-46: a second INT cancels what the first one waits for.
. "$TEST_LIB/common.sh"
need jq python3
need_fuse
interruptible='import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])'
python3 -c "$interruptible" "$MINIRDR" mount faulty:memory: "$TEST_MNT" --name t -f \
  -o read=sync-hang >"$TEST_DIR/front.out" 2>&1 &
pid=$!
wait_until "it says so" grep -q "mounted on" "$TEST_DIR/front.out"
printf hello >"$TEST_MNT/f"
cat "$TEST_MNT/f" >/dev/null 2>&1 &
running() { rdr requests t | grep -q read; }
wait_until "the read hangs" running
kill -INT "$pid"
wait_until "it stops" is_state stopping
kill -INT "$pid"
took_less 8 run wait "$pid"
is_gone || fail "the mount or its socket is still there"
