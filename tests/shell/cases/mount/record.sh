#!/usr/bin/env bash
# TIMEOUT: 60
# S-93: the record says that it runs, that it was stopped when the result is there, and is gone at
# an orderly end; what a crash leaves, doctor tells; what cannot be written is said.
. "$TEST_LIB/common.sh"
need jq
record=$TEST_DIR/state/minirdr/t/mount.json
runs() { [ "$(jq .running "$record")" = "$1" ]; }
mount_rdr memory: -o noexec
wait_until "it is written" runs true
assert_eq "$(jq -r .mount_point "$record")" "$TEST_MNT"
expect 0 rdr stop t --wait --json
runs false || fail "not on disk before the result"
has_step() { jq -e '.report.steps[] | select(.step == "save_config")' <<<"$out" >/dev/null; }
has_step || fail "no such step"
kinds=$(rdr events t --json | jq -r '.events[].kind' | tr '\n' ' ')
assert_has "$kinds" "dispatcher_spun_down save_config stopped"
expect 0 rdr start t
wait_until "it is written again" runs true
pid=$(daemon_pid)
kill -9 "$pid"
wait_until "the daemon is gone" ended "$pid"
run rdr doctor
assert_has "$out" "t: memory: on $TEST_MNT ran when its daemon ended" \
  "minirdr mount memory: $TEST_MNT --name t -o noexec"
mount_rdr memory:
expect 0 rdr umount t
wait_until "it is gone" is_gone
wait_until "nothing is left" test ! -e "$TEST_DIR/state/minirdr/t"
run rdr doctor
assert_lacks "$out" "unfinished"
say "no place to write it"
rm -rf "$TEST_DIR/state/minirdr" && echo >"$TEST_DIR/state/minirdr"
mount_rdr memory:
expect 0 rdr stop t --wait
assert_has "$out" "t: stopped" "its configuration is not kept: " "$TEST_DIR/state/minirdr/t"
expect 0 rdr start t
