#!/usr/bin/env bash
# TIMEOUT: 60
# S-80, S-82, S-83: what the unit has in ExecStart and ExecStop works: READY with the mount, a drain
# that asks for time while it gets on, STOPPING and nothing left at its end.
. "$TEST_LIB/common.sh"
need jq python3
need_fuse
unit="$TEST_LIB/../../../contrib/systemd/minirdr@.service"
mkdir -p "$TEST_DIR"/{back,etc/minirdr}
printf '%s\n' "MINIRDR_SOURCE=faulty:local:$TEST_DIR/back" "MINIRDR_DIRECTORY=$TEST_MNT" \
  MINIRDR_OPTIONS=write=delay:4s "MINIRDR_ARGS=--log $TEST_DIR/daemon.log" \
  >"$TEST_DIR/etc/minirdr/t.env"
mkfifo "$TEST_DIR/manager.in"
python3 "$TEST_LIB/manager.py" "$unit" t "$TEST_DIR/etc" <"$TEST_DIR/manager.in" \
  >"$TEST_DIR/manager.out" 2>&1 &
manager=$!
exec {stop}>"$TEST_DIR/manager.in"
wait_until "it is ready" grep -q READY=1 "$TEST_DIR/manager.out"
is_mounted "$TEST_MNT" || fail "ready, and not mounted"
# Two writes, the second some time after the first: the drain gets on twice.
(echo one >"$TEST_MNT/one") &
writers=$!
requests() { [ "$(rdr status t --json | jq .mount.requests_in_flight)" -ge "$1" ]; }
wait_until "one is on its way" grep -q "running: 1 request" "$TEST_DIR/manager.out"
(echo two >"$TEST_MNT/two") &
writers="$writers $!"
wait_until "both are on their way" requests 2
echo stop >&"$stop"
for writer in $writers; do expect 0 wait "$writer"; done
expect 0 wait "$manager"
out=$(<"$TEST_DIR/manager.out")
echo "$out"
assert_has "$out" "READY=1  STATUS=running: 0 requests" "STATUS=stopping (ticket 2, drain): 2 req" \
  "minirdr stop t --wait --unmount --deadline 90s --on-deadline cancel" "ExecStop ended with 0" \
  "STOPPING=1" "STATUS=ended, all saved" "the main process ended with 0"
[ "$(grep -c EXTEND_TIMEOUT_USEC= <<<"$out")" -ge 3 ] || fail "it asked for time too seldom"
# ExecStop alone ends it; that the last of it goes a moment later is nothing.
assert_has "$(sed '/ExecStop ended/,$d' <<<"$out")" "STOPPING=1"
assert_eq "$(sed -n '/STOPPING=1/,$p' <<<"$out" | grep -c drain)" 0 "drains after STOPPING"
assert_eq "$(cat "$TEST_DIR"/back/{one,two})" $'one\ntwo'
is_gone || fail "the mount or its socket is still there"
