#!/usr/bin/env bash
# TIMEOUT: 60
# S-51, S-53: scenario 5 of the users: the server is gone; what a stop gave up on is kept, named
# with its holder and its place, and put where it belongs once the server is back.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/unsent.sh"
need jq python3
mkdir "$TEST_DIR/back"
printf 'the old text' >"$TEST_DIR/back/notes.md"
mount_rdr "faulty:local:$TEST_DIR/back" -o write=hang-uncancellable#1
expect 0 rdr unsent t
assert_eq "$out" "t: nothing unsent"
lose vim notes.md "THE"
assert_has "$out" "t: stopped, still mounted; NOT saved: 1 file, 3 B" "notes.md  3 B  " \
  "[${puppet_pid[vim]}]  kept in $UNSENT/1.data"
assert_eq "$(cat "$UNSENT/1.data")" THE
assert_eq "$(stat -c %a "$UNSENT" "$UNSENT"/1.* | paste -sd' ')" "700 600 600"
assert_eq "$(cat "$TEST_DIR/back/notes.md")" "the old text"
expect 0 rdr unsent t
assert_has "$out" "t: 1 unsent file, 3 B" "notes.md  3 B" "yes   write had no answer"
expect 0 rdr unsent t --json
assert_eq "$(jq -r '.entries[0] | "\(.path) \(.offset) \(.bytes) \(.kept_in)"' <<<"$out")" \
  "notes.md 0 3 $UNSENT/1.data"
# S7: the report of the stop in full.
expect 3 rdr status t
assert_has "$out" "1 given up" "NOT saved: 1 file, 3 B" "drain " "keep_unsent "
expect 3 rdr unsent t --replay
assert_one_line "$err"
assert_has "$err" "minirdr start t"
expect 0 rdr start t
assert_has "$out" "1 unsent file, 3 B: \`minirdr unsent t --replay|--discard\`"
# The server answers again: only its first write of each start hangs.
printf x >"$TEST_MNT/other" &
wait_until "the write hangs" hangs
expect 0 rdr unsent t --replay
assert_eq "$out" "t: 1 write, 3 B, replayed"
assert_eq "$(cat "$TEST_DIR/back/notes.md")" "THE old text"
assert_eq "$(cat "$TEST_MNT/notes.md")" "THE old text"
assert_eq "$(kept)" 0
rdr events t | grep -q "arrived  bytes=3 path=notes.md" || fail "the event is not there"
expect 0 rdr unsent t
assert_eq "$out" "t: nothing unsent"
