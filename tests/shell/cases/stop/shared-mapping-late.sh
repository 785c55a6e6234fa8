#!/usr/bin/env bash
# TIMEOUT: 40
# S-40: pages written through a mapping are on the server when the stop has ended; after it the
# pages are gone, and touching one is SIGBUS, until a start that reclaims the handle.
. "$TEST_LIB/common.sh"
need jq
mkdir "$TEST_DIR/back"
mount_rdr "local:$TEST_DIR/back"
for who in one two; do
  puppet "$who"
  ask_ok "$who" open f c "$TEST_MNT/$who"
  ask_ok "$who" fill f 8192
  ask_ok "$who" map f 8192
  ask_ok "$who" dirty f "before the stop"
done
expect 10 rdr stop t --wait
assert_eq "$(head -c 15 "$TEST_DIR/back/one")" "before the stop"
tell two dirty f "after the stop"
expect 135 wait "${puppet_pid[two]}"
expect 0 rdr start t
ask_ok one dirty f "after the start"
ask_ok one sync f
assert_eq "$(head -c 15 "$TEST_DIR/back/one")" "after the start"
ask_ok one unmap f
ask_ok one close f
