#!/usr/bin/env bash
# TIMEOUT: 30
# S-44: a reader that hangs on its server can be killed, and is gone within 2 s.
. "$TEST_LIB/common.sh"
mount_rdr faulty:memory: -o read=hang
printf hello >"$TEST_MNT/f"
cat "$TEST_MNT/f" >/dev/null &
pid=$!
running() { rdr requests t | grep -q read; }
wait_until "the read hangs" running
kill -9 "$pid"
took_less 2 expect 137 wait "$pid"
none() { rdr requests t | grep -q '^t: 0 requests'; }
wait_until "its request has ended" none
# So is one that was interrupted from its terminal.
timeout -s INT 1 cat "$TEST_MNT/f" && fail "it read something" || code=$?
assert_eq "$code" 124
wait_until "its request has ended" none
