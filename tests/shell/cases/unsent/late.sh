#!/usr/bin/env bash
# TIMEOUT: 40
# S-54: a write that was given up on and reaches the server after all is marked, and not replayed
# over what was written since.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/unsent.sh"
need jq python3
mkdir "$TEST_DIR/back"
printf 'old' >"$TEST_DIR/back/f"
# The answer is 4 s late, and cannot be cancelled.
mount_rdr "faulty:local:$TEST_DIR/back" -o write=delay:4s#1
lose one f "new"
arrived() { rdr unsent t --json | jq -e '.entries[0].arrived' >/dev/null; }
wait_until "it arrives" arrived
assert_eq "$(cat "$TEST_DIR/back/f")" "new"
rdr events t | grep -q "arrived  bytes=3 path=f" || fail "the event is not there"
expect 0 rdr unsent t
assert_has "$out" "t: nothing unsent; what was kept has arrived"
printf 'newest' >"$TEST_DIR/back/f"
expect 0 rdr start t
assert_lacks "$out" "unsent"
expect 0 rdr unsent t --replay
assert_eq "$out" "t: 1 write, 3 B, had arrived"
assert_eq "$(cat "$TEST_DIR/back/f")" "newest"
assert_eq "$(kept)" 0
