#!/usr/bin/env bash
# TIMEOUT: 30
# S-42: at its deadline a `stay` stop keeps draining: exit 11; a sterner stop ends it: exit 13.
. "$TEST_LIB/common.sh"
need jq
mount_rdr faulty:memory: -o write=hang-uncancellable
puppet writer
ask_ok writer open f c "$TEST_MNT/f"
tell writer write f text
running() { rdr requests t | grep -q write; }
wait_until "the write hangs" running
took_less 5 expect 11 rdr stop t --wait --deadline 1s --on-deadline stay
assert_has "$out" "t: deadline passed: 1 request, 1 handle, 4 B unsent; still draining"
is_state stopping || fail "it does not drain any more"
assert_errno "shutdown" touch "$TEST_MNT/new"
took_less 8 expect 13 rdr stop t --wait --deadline 1s --on-deadline cancel
assert_has "$out" "t: stopped, still mounted; NOT saved: 1 file, 4 B" "f  4 B"
case "$(answer writer)" in error\ ETIMEDOUT*) ;; *) fail "its caller was not told" ;; esac
