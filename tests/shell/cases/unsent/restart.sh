#!/usr/bin/env bash
# TIMEOUT: 60
# S-52: what is kept outlives the daemon, however it ends; the next mount of the name says so.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/unsent.sh"
need jq python3
mkdir "$TEST_DIR/back"
printf 'old' >"$TEST_DIR/back/f"
mount_rdr "faulty:local:$TEST_DIR/back" -o write=hang-uncancellable#1
pid=$(daemon_pid)
lose one f "new"
kill -9 "$pid"
wait_until "it is gone" ended "$pid"
umount "$TEST_MNT"
expect 0 rdr unsent t
assert_has "$out" "t: 1 unsent file, 3 B"
expect 3 rdr unsent t --replay
assert_one_line "$err"
mount_rdr "local:$TEST_DIR/back" -o ro
expect 1 rdr unsent t --replay
assert_has "$err" "read-only"
expect 0 rdr umount t
mount_rdr "local:$TEST_DIR/back"
assert_has "$out" "1 unsent file, 3 B: \`minirdr unsent t --replay|--discard\`"
expect 0 rdr status t
assert_has "$out" "1 unsent file, 3 B"
expect 0 rdr unsent t --replay
assert_eq "$(cat "$TEST_DIR/back/f")" "new"
expect 0 rdr umount t
expect 0 rdr unsent t
assert_eq "$out" "t: nothing unsent"

say "a daemon that is told to end keeps it too, and its exit code says so"
"$MINIRDR" mount "faulty:local:$TEST_DIR/back" "$TEST_MNT" --name t -f \
  -o write=hang-uncancellable,stop_deadline=1s >"$TEST_DIR/front.out" 2>&1 &
pid=$!
wait_until "it says so" grep -q "mounted on" "$TEST_DIR/front.out"
puppet two
ask_ok two open f rw "$TEST_MNT/f"
tell two write f "late"
wait_until "the write hangs" hangs
kill -TERM "$pid"
took_less 15 expect 13 wait "$pid"
assert_has "$(cat "$TEST_DIR/front.out")" "t: lost 4 bytes of f" "kept in $UNSENT/"
mount_rdr "local:$TEST_DIR/back"
expect 0 rdr unsent t --replay
assert_eq "$(cat "$TEST_DIR/back/f")" "late"
