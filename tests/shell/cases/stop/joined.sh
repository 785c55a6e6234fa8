#!/usr/bin/env bash
# TIMEOUT: 30
# S-37: a stop that finds another one running joins it: it says so, and waits for the same end.
. "$TEST_LIB/common.sh"
mount_rdr faulty:memory: -o write=hang-uncancellable
puppet writer
ask_ok writer open f c "$TEST_MNT/f"
tell writer write f text
running() { rdr requests t | grep -q write; }
wait_until "the write hangs" running
expect 0 rdr stop t
assert_has "$out" "pending (ticket 2), 1 request, 1 handle"
expect 0 rdr stop t
assert_has "$out" "t: already stopping (ticket 2, for" "asked by uid $(id -u) pid"
expect 11 rdr wait t --timeout 300ms
assert_has "$out" "t: the time to wait is over; it is stopping"
expect 0 rdr resume t
assert_eq "$out" "t: running"
expect 12 rdr wait t --ticket 2
