#!/usr/bin/env bash
# TIMEOUT: 60
# S-57: one handle is taken from its holder while the mount goes on: ESHUTDOWN on its next use,
# also of what the kernel had cached; what was written to it, to the page as well, is on the server;
# and a stop that waited for it is over.
. "$TEST_LIB/common.sh"
need jq
mkdir "$TEST_DIR/back"
mount_rdr "local:$TEST_DIR/back"
puppet nginx
puppet vim
ask_ok nginx open f c "$TEST_MNT/logo"
ask_ok nginx write f 0123456789
ask_ok nginx map f 10
ask_ok nginx dirty f abcd
ask_ok nginx pread f 0 10
ask_ok vim open f c "$TEST_MNT/notes"
number() { rdr handles t --json | jq ".holders[] | select(.path == \"$1\" and .handle) | .handle"; }
handle=$(number logo)
expect 0 rdr stop t --grace 60s
expect 2 rdr stop t --handle "$handle"
expect 0 rdr stop t --mode cancel --handle "$handle"
assert_has "$out" "t: handle $handle detached (nginx[" "gets ESHUTDOWN on logo" "t: 1 handle left" \
  "t: the stop (ticket 2) goes on"
ask_error nginx ESHUTDOWN pread f 0 10
ask_error nginx ESHUTDOWN write f more
ask_ok vim write f text
assert_eq "$(rdr status t --json | jq .mount.open_handles)" 1
expect 0 rdr handles t
assert_has "$out" "1 handle detached" "detached"
expect 0 rdr stop t --mode cancel --handle "$(number notes)"
expect 0 rdr wait t
assert_has "$out" "t: stopped, nothing unsent, still mounted"
assert_eq "$(cat "$TEST_DIR/back/logo")" abcd456789
assert_eq "$(cat "$TEST_DIR/back/notes")" text
expect 0 rdr start t
ask_error nginx ESHUTDOWN pread f 0 10
ask_ok nginx unmap f
ask_ok nginx close f
ask_ok vim close f
none() { [ "$(rdr handles t --json | jq '.handles | length')" = 0 ]; }
wait_until "both are closed" none
expect 0 rdr events t
assert_has "$out" "detached"
