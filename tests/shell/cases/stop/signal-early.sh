#!/usr/bin/env bash
# TIMEOUT: 40
# S-46: TERM while it starts ends it in order: it fails, says why, and leaves nothing behind.
. "$TEST_LIB/common.sh"
need_fuse
"$MINIRDR" mount faulty:memory: "$TEST_MNT" --name t -f -o start=delay:20s \
  --log "$TEST_DIR/daemon.log" >"$TEST_DIR/front.out" 2>"$TEST_DIR/front.err" &
pid=$!
claimed() { grep -qs . "$XDG_RUNTIME_DIR/minirdr/t.lock"; }
wait_until "it has its name" claimed
starting() { grep -q 'signals' "/proc/$pid/task/"*/comm; }
wait_until "it listens to signals" starting
kill -TERM "$pid"
code=0
wait "$pid" || code=$?
assert_eq "$code" 1 "exit code"
is_gone || fail "something is left behind"
