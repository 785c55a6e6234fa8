#!/usr/bin/env bash
# TIMEOUT: 30
# S-01: with -f the daemon stays in front, says its line once the mount answers, and TERM ends it.
. "$TEST_LIB/common.sh"
need_fuse
"$MINIRDR" mount memory: "$TEST_MNT" --name t -f >"$TEST_DIR/front.out" 2>"$TEST_DIR/front.err" &
pid=$!
wait_until "it says so" grep -q "^t: memory: mounted on $TEST_MNT\$" "$TEST_DIR/front.out"
echo hello >"$TEST_MNT/f"
kill -TERM "$pid"
expect 0 wait "$pid"
is_gone || fail "the mount or its socket is still there"
