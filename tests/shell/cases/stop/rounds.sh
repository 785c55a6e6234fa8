#!/usr/bin/env bash
# TIMEOUT: 120
# S-38: fifty stops and starts under load: every count, thread and descriptor is back where it was.
. "$TEST_LIB/common.sh"
need jq
mkdir "$TEST_DIR/back"
mount_rdr "local:$TEST_DIR/back" -o survivors=stale
pid=$(daemon_pid)
for number in 1 2 3; do
  (while [ ! -e "$TEST_DIR/over" ]; do
    file=$TEST_MNT/f$number
    { echo "$number" >"$file" && cat "$file" && ls "$TEST_MNT"; } >/dev/null 2>&1 || :
  done) &
  loads+=($!)
done
descriptors() { find "/proc/$pid/fd" | wc -l; }
threads() { find "/proc/$pid/task" -maxdepth 1 | wc -l; }
for round in $(seq 50); do
  [ "$round" != 5 ] || { rdr stop t --wait && before="$(threads)" && rdr start t; } >/dev/null
  run rdr stop t --wait
  case "$code" in 0 | 10) ;; *) fail "round $round: exit $code" ;; esac
  expect 0 rdr start t
done
touch "$TEST_DIR/over"
for load in "${loads[@]}"; do wait "$load" || :; done
idle() { [ "$(rdr status t --json | jq '.mount | .open_handles + .requests_in_flight')" = 0 ]; }
wait_until "every handle is closed" idle
assert_eq "$(rdr status t --json | jq .mount.defects_total)" 0 defects
expect 0 rdr stop t --wait
[ "$(threads)" -le $((before + 1)) ] || fail "$(threads) threads instead of $before"
[ "$(descriptors)" -le 64 ] || fail "$(descriptors) descriptors are open"
