#!/usr/bin/env bash
# TIMEOUT: 40
# S-46: a stop that TERM asked for and `resume` took back is forgotten: a later stop, without
# `--unmount`, does not end the daemon.
. "$TEST_LIB/common.sh"
need jq
mkdir "$TEST_DIR/back"
mount_rdr "faulty:local:$TEST_DIR/back" -o write=delay:2s
pid=$(daemon_pid)
(echo hello >"$TEST_MNT/f") &
writer=$!
running() { rdr requests t | grep -q write; }
wait_until "the write is on its way" running
kill -TERM "$pid"
stopping() { is_state stopping; }
wait_until "it stops" stopping
expect 0 rdr resume t
expect 0 wait "$writer"
wait_until "it runs again" is_state running
wait_until "the daemon forgets it" grep -q "was taken back" "$TEST_DIR/daemon.log"
expect 0 rdr stop t --wait
is_state stopped || fail "it should be stopped, and there"
expect 0 rdr start t
wait_until "it runs" is_state running
assert_eq "$(cat "$TEST_MNT/f")" hello
expect 0 rdr umount t
