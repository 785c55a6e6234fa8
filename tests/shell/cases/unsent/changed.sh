#!/usr/bin/env bash
# TIMEOUT: 40
# S-53: a file that somebody wrote to since is spared, and named; --force writes all the same.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/unsent.sh"
need jq python3
mkdir "$TEST_DIR/back"
printf 'old' >"$TEST_DIR/back/f"
mount_rdr "faulty:local:$TEST_DIR/back" -o write=hang-uncancellable#1
lose one f "lost"
printf 'newer text' >"$TEST_DIR/back/f"
expect 0 rdr umount t
mount_rdr "local:$TEST_DIR/back"
expect 1 rdr unsent t --replay
assert_has "$out" "t: 1 write, 4 B, still unsent" "f  4 B  the file has changed since"
assert_eq "$(cat "$TEST_DIR/back/f")" "newer text"
assert_eq "$(kept)" 1
mv "$TEST_DIR/back/f" "$TEST_DIR/back/g"
expect 1 rdr unsent t --replay --force
assert_has "$out" "the file is gone; its bytes are in $UNSENT/1.data"
printf 'another' >"$TEST_DIR/back/f"
expect 1 rdr unsent t --replay
assert_has "$out" "another file is there now"
expect 0 rdr unsent t --replay --force
assert_eq "$(cat "$TEST_DIR/back/f")" "losther"
assert_eq "$(cat "$TEST_DIR/back/g")" "newer text"
assert_eq "$(kept)" 0
