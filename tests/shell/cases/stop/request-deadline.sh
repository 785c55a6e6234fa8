#!/usr/bin/env bash
# TIMEOUT: 30
# S-45: a request that its server does not answer in time ends with ETIMEDOUT; the server's call is
# still waited for by a stop, until the stop's own deadline gives it up.
. "$TEST_LIB/common.sh"
mount_rdr faulty:memory: -o read=hang-uncancellable,request_deadline=1s
printf hello >"$TEST_MNT/f"
took_less 5 assert_errno "Connection timed out" cat "$TEST_MNT/f"
took_less 5 expect 0 rdr stop t --wait --deadline 1s --on-deadline cancel
assert_has "$out" "given up"
