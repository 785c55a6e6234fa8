#!/usr/bin/env bash
# TIMEOUT: 40
# S-54: a discard removes it and says what, with and without a daemon.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/unsent.sh"
need jq python3
mkdir "$TEST_DIR/back"
printf 'old' >"$TEST_DIR/back/f"
mount_rdr "faulty:local:$TEST_DIR/back" -o write=hang-uncancellable#1
lose one f "new"
expect 0 rdr unsent t --discard
assert_eq "$out" "t: 1 write, 3 B, discarded"
assert_eq "$(kept)" 0
expect 0 rdr unsent t
assert_eq "$out" "t: nothing unsent"
expect 0 rdr start t
assert_lacks "$out" "unsent"
lose two f "newer"
expect 0 rdr umount t
expect 0 rdr unsent t --discard --json
assert_eq "$(jq -r '.outcomes[0] | "\(.path) \(.result)"' <<<"$out")" "f discarded"
assert_eq "$(kept)" 0
assert_eq "$(cat "$TEST_DIR/back/f")" "old"
expect 3 rdr unsent nobody
