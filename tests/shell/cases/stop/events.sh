#!/usr/bin/env bash
# TIMEOUT: 30
# S-50: the events tell the order of a stop, numbered without a gap, the result last and once.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
expect 0 rdr stop t --wait --reason "new disk"
expect 0 rdr start t
expect 0 rdr events t --json
told='.events[].kind | select(IN("draining", "refused", "save_config") | not)'
kinds=$(jq -r "$told" <<<"$out" | tr '\n' ' ')
assert_has "$kinds" "started stop_requested sealed redirector_stopped"
assert_has "$kinds" "dispatcher_spun_down stopped started"
assert_eq "$(jq '[.events[].seq] == [range(1; (.events | length) + 1)]' <<<"$out")" true "no gap"
assert_eq "$(jq -r '.events[] | select(.kind == "stop_requested").reason' <<<"$out")" "new disk"
assert_eq "$(jq '[.events[] | select(.kind == "stopped")] | length' <<<"$out")" 1 "results"
since=$(jq '.events | length - 1' <<<"$out")
expect 0 rdr events t --since "$since" --json
assert_eq "$(jq '.events | length' <<<"$out")" 1
