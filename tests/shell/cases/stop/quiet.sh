#!/usr/bin/env bash
# TIMEOUT: 30
# S-36: df, stat and mountpoint of the mount point stay quiet in every state.
. "$TEST_LIB/common.sh"
need mountpoint jq
mount_rdr faulty:memory: -o write=delay:1s
quiet() {
  local command
  for command in "df $TEST_MNT" "stat $TEST_MNT" "stat -f $TEST_MNT" "mountpoint $TEST_MNT"; do
    took_less 1 expect 0 $command
    assert_eq "$err" "" "$command while $1"
  done
}
quiet running
puppet writer
ask_ok writer open f c "$TEST_MNT/f"
tell writer write f text
running() { rdr requests t | grep -q write; }
wait_until "the write is on its way" running
expect 0 rdr stop t
is_state stopping || fail "it does not stop yet"
quiet stopping
answer writer
expect 10 rdr wait t
quiet stopped
assert_errno "shutdown" ls "$TEST_MNT"
ask_ok writer close f
expect 0 rdr start t
expect 0 rdr pause t
quiet paused
