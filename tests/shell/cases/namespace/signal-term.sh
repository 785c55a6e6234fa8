#!/usr/bin/env bash
# TIMEOUT: 60
# TERM while a provider is on its way and another has left with a file open: the daemon ends in
# time, with all of them, and nothing is left behind.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net
puppet holder
ask_ok holder open f r "$TEST_MNT/srv1/docs/f"
expect 10 rdr provider remove "$NAME" --provider docs
rdr provider add "$NAME" --provider hang --prefix /hang --source faulty:memory: -o start=hang \
  >"$TEST_DIR/add.out" 2>&1 &
adding=$!
starts() { rdr provider list "$NAME" | grep -q "hang .* starting"; }
wait_until "it starts" starts
expect 1 rdr provider remove "$NAME" --provider hang
assert_has "$err" 'provider "hang" is being added (ticket '
pid=$(daemon_pid)
kill -TERM "$pid"
code=0
wait "$adding" || code=$?
assert_has "$(cat "$TEST_DIR/add.out")" "$NAME provider hang: not added"
assert_eq "$code" 1
ask_ok holder close f
wait_until "the daemon has ended" ended "$pid"
wait_until "it is gone" is_gone
