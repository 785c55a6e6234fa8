#!/usr/bin/env bash
# TIMEOUT: 30
# S-46: QUIT aborts: the daemon goes at once, and its exit code tells that a write was lost.
. "$TEST_LIB/common.sh"
need_fuse
"$MINIRDR" mount faulty:memory: "$TEST_MNT" --name t -f -o write=hang-uncancellable \
  >"$TEST_DIR/front.out" 2>&1 &
pid=$!
wait_until "it says so" grep -q "mounted on" "$TEST_DIR/front.out"
puppet writer
ask_ok writer open f c "$TEST_MNT/f"
tell writer write f text
running() { rdr requests t | grep -q write; }
wait_until "the write hangs" running
kill -QUIT "$pid"
took_less 8 expect 13 wait "$pid"
is_gone || fail "the mount or its socket is still there"
