#!/usr/bin/env bash
# TIMEOUT: 30
# S-08: a socket somebody else listens on is not taken from them: one line, exit 1, nothing mounted.
. "$TEST_LIB/common.sh"
need_fuse
need python3
mkdir -p "$TEST_DIR/run/minirdr"
python3 -c 'import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
while True:
    listener.accept()[0].close()' "$TEST_DIR/run/minirdr/t.sock" >"$TEST_DIR/ready" &
stranger=$!
wait_until "it listens" grep -q ready "$TEST_DIR/ready"
expect 1 rdr mount memory: "$TEST_MNT" --name t
assert_one_line "$err"
assert_has "$err" "a daemon named t is already running, pid $stranger"
! is_mounted "$TEST_MNT" || fail "it was mounted"
