#!/usr/bin/env bash
# TIMEOUT: 30
# S-45: a request that its server does not answer in time ends with ETIMEDOUT.
. "$TEST_LIB/common.sh"
mount_rdr faulty:memory: -o read=hang-uncancellable,request_deadline=1s
printf hello >"$TEST_MNT/f"
took_less 5 assert_errno "Connection timed out" cat "$TEST_MNT/f"
expect 0 rdr stop t --wait
