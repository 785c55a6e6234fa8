#!/usr/bin/env bash
# TIMEOUT: 60
# S-160: a daemon in the background has nothing open of what its caller has; what its command line
# names, it has.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
echo text >"$TEST_DIR/secret"
exec 7<"$TEST_DIR/secret" 8>"$TEST_DIR/daemon.log"
opened() { readlink "/proc/$pid/fd"/*; }
expect 0 mount -t minirdr -o name=t memory: "$TEST_MNT"
pid=$(daemon_pid)
assert_lacks "$(opened)" "$TEST_DIR/secret"
expect 0 umount "$TEST_MNT"
wait_until "nothing is left" is_gone
expect 0 rdr mount memory: "$TEST_MNT" --name t --log /dev/fd/8
pid=$(daemon_pid)
assert_lacks "$(opened)" "$TEST_DIR/secret"
assert_has "$(opened)" "$TEST_DIR/daemon.log"
assert_has "$(cat "$TEST_DIR/daemon.log")" Started
expect 0 rdr umount t
wait_until "nothing is left" is_gone
