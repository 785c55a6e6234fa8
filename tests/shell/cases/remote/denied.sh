#!/usr/bin/env bash
# TIMEOUT: 60
# S-71, S-72: the operations answer; a network may not stop, 127.0.0.1 included, nor another user;
# nothing changes. Root may, and the mount goes on.
. "$TEST_LIB/common.sh"
need_root
need python3 jq
chmod 755 "$TEST_DIR" && mkdir -m 755 "$TEST_DIR/managed"
port=$(python3 -c 'import socket
print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
socket=$TEST_DIR/managed/NAME
mount_rdr memory: --rpc "ncacn_ip_tcp:127.0.0.1[$port]" --rpc "ncalrpc:[$socket]"
tcp() { python3 "$TEST_LIB/remote.py" 127.0.0.1 "$port" "$@"; }
unix() { python3 "$TEST_LIB/remote.py" unix "$socket" "$@"; }
assert_eq "$(tcp 2)" "0 1" "is it listening"
assert_eq "$(tcp 4)" "1 0 1 0 1747" "its principal"
assert_eq "$(tcp 3)" 5 "from 127.0.0.1"
assert_eq "$(unix 3 65534)" 5 "by another user"
assert_eq "$(unix 2)" "0 1" "is it listening"
is_state running || fail "it is $(state)"
assert_eq "$(unix 3)" 0 "by root"
wait_until "nobody listens" eval '! tcp 2'
assert_errno "refused" tcp 2
wait_until "the socket is gone" test ! -e "$socket"
is_state running || fail "it is $(state)"
echo content >"$TEST_MNT/f"
expect 0 rdr umount t
assert_eq "$(ls -A "$TEST_DIR/managed")" "" "left behind"
