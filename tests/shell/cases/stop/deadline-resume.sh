#!/usr/bin/env bash
# TIMEOUT: 30
# S-42: at the deadline of a `resume` stop everything is as it was: exit 12, nothing refused.
. "$TEST_LIB/common.sh"
need jq
mount_rdr faulty:memory: -o write=hang-uncancellable
puppet writer
ask_ok writer open f c "$TEST_MNT/f"
tell writer write f text
running() { rdr requests t | grep -q write; }
wait_until "the write hangs" running
took_less 5 expect 12 rdr stop t --wait --deadline 1s --on-deadline resume
assert_has "$out" "t: deadline passed" "rolled back, running"
is_state running || fail "it does not run"
touch "$TEST_MNT/new"
kill -9 "${puppet_pid[writer]}"
