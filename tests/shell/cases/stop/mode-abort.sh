#!/usr/bin/env bash
# TIMEOUT: 30
# S-42: mode abort waits for nobody, and tells what was not saved: exit 13.
. "$TEST_LIB/common.sh"
mount_rdr faulty:memory: -o write=hang-uncancellable
puppet writer
ask_ok writer open f c "$TEST_MNT/f"
tell writer write f text
running() { rdr requests t | grep -q write; }
wait_until "the write hangs" running
took_less 5 expect 13 rdr stop t --wait --mode abort
assert_has "$out" "NOT saved: 1 file"
