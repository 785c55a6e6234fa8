#!/usr/bin/env bash
# TIMEOUT: 60
# S-71: what is wrong with an endpoint is said in one line, exit 2; one that is taken, exit 1.
# Nothing is left behind, and nothing that is there is taken away.
. "$TEST_LIB/common.sh"
need_fuse
need python3
wrong() {
  expect "$1" rdr mount memory: "$TEST_MNT" --name t "${@:3}"
  assert_one_line "$err"
  assert_has "$err" "$2"
  ! is_mounted "$TEST_MNT" || fail "it was mounted"
  assert_eq "$(find "$XDG_RUNTIME_DIR" -not -type d)" "" "left behind"
}
wrong 2 "ncacn_ip_tcp:127.0.0.1[PORT]" --rpc 127.0.0.1:135
wrong 2 "IP address" --rpc "ncacn_ip_tcp:localhost[135]"
wrong 2 "1 to 65535" --rpc "ncacn_ip_tcp:127.0.0.1[0]"
wrong 2 "absolute path" --rpc "ncalrpc:[here]"
wrong 2 "--rpc" --rpc-stop=mount
wrong 2 "server, mount" --rpc "ncalrpc:[/x/y]" --rpc-stop=all
wrong 2 "192.0.2.0/24" --rpc "ncalrpc:[/x/y]" --rpc-allow-stop=everybody
wrong 2 "10.0.0.0/8" --rpc "ncalrpc:[/x/y]" --rpc-allow-stop=10.1.2.3/8
python3 -c 'import socket, time
taken = socket.create_server(("127.0.0.1", 0))
print(taken.getsockname()[1], flush=True)
taken.accept()' >"$TEST_DIR/port" &
wait_until "it listens" test -s "$TEST_DIR/port"
wrong 1 "Address already in use" --rpc "ncacn_ip_tcp:127.0.0.1[$(<"$TEST_DIR/port")]"
mkdir -m 755 "$TEST_DIR/managed" && echo mine >"$TEST_DIR/managed/NAME"
wrong 1 "in the way" --rpc "ncalrpc:[$TEST_DIR/managed/NAME]"
assert_eq "$(ls "$TEST_DIR/managed")" NAME
assert_eq "$(<"$TEST_DIR/managed/NAME")" mine
