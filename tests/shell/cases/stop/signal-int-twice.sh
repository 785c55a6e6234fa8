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
  -o read=hang,write=delay:4s >"$TEST_DIR/front.out" 2>&1 &
pid=$!
wait_until "it says so" grep -q "mounted on" "$TEST_DIR/front.out"
truncate -s 5 "$TEST_MNT/f" "$TEST_MNT/g"
# The first INT waits for the write, which nothing can cancel, before it would cancel the read.
printf x >"$TEST_MNT/g" &
cat "$TEST_MNT/f" >/dev/null 2>&1 &
reader=$!
running() { rdr requests t | grep -q "$1"; }
wait_until "the write runs" running write
wait_until "the read hangs" running read
kill -INT "$pid"
wait_until "it stops" is_state stopping
[ -d "/proc/$reader" ] || fail "the first INT cancelled the read"
kill -INT "$pid"
took_less 3 run wait "$reader"
took_less 8 run wait "$pid"
is_gone || fail "the mount or its socket is still there"
