#!/usr/bin/env bash
# TIMEOUT: 30
# S-45: a request that its server does not answer in time ends with ETIMEDOUT.
. "$TEST_LIB/common.sh"
mount_rdr faulty:memory: -o read=hang-uncancellable,request_deadline=1s
printf hello >"$TEST_MNT/f"
took_less 5 assert_errno "Connection timed out" cat "$TEST_MNT/f"
# Its caller is gone, and the server still has it: a stop waits for that as long as it is let.
expect 0 rdr stop t
expect 11 rdr wait t --timeout 500ms
took_less 8 expect 13 rdr stop t --wait --deadline 500ms --on-deadline cancel
