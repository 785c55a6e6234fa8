#!/usr/bin/env bash
# TIMEOUT: 30
# S-42, S-43: at its deadline a `cancel` stop cancels what can be cancelled; the request ends with
# EINTR, the kernel reads the page again, and is refused.
. "$TEST_LIB/common.sh"
mount_rdr faulty:memory: -o read=hang
printf hello >"$TEST_MNT/f"
puppet reader
ask_ok reader open f r "$TEST_MNT/f"
tell reader read f 5
running() { rdr requests t | grep -q read; }
wait_until "the read hangs" running
took_less 8 expect 10 rdr stop t --wait --deadline 1s --on-deadline cancel
assert_has "$out" "t: stopped, 1 handle still open"
assert_has "$(answer reader)" "error ESHUTDOWN"
ask_ok reader close f
