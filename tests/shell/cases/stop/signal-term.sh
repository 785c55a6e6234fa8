#!/usr/bin/env bash
# TIMEOUT: 40
# S-46: TERM stops, unmounts and ends with 0 when all was saved; a running write finishes first.
. "$TEST_LIB/common.sh"
need jq
need_fuse
mkdir "$TEST_DIR/back"
python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$MINIRDR" mount "faulty:local:$TEST_DIR/back" "$TEST_MNT" \
  --name t -f -o write=delay:1s >"$TEST_DIR/front.out" 2>&1 &
pid=$!
wait_until "it says so" grep -q "mounted on" "$TEST_DIR/front.out"
(echo hello >"$TEST_MNT/f") &
writer=$!
running() { rdr requests t | grep -q write; }
wait_until "the write is on its way" running
kill -TERM "$pid"
expect 0 wait "$writer"
expect 0 wait "$pid"
is_gone || fail "the mount or its socket is still there"
assert_eq "$(cat "$TEST_DIR/back/f")" hello
