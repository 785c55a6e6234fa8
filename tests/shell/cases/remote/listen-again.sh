#!/usr/bin/env bash
# TIMEOUT: 60
# S-78, S-79: the listening can be stopped and begun again, by those who may; who stopped the mount
# from a network is shown with the address everywhere.
. "$TEST_LIB/common.sh"
need_root
need python3 jq setpriv
chmod 755 "$TEST_DIR" "$TEST_DIR/run"
port=$(python3 -c 'import socket
print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
mount_rdr "faulty:memory:" -o read=delay:3s --rpc "ncacn_ip_tcp:127.0.0.1[$port]" \
  --rpc-allow-stop=127.0.0.1 --rpc-stop=mount
tcp() { python3 "$TEST_LIB/remote.py" 127.0.0.1 "$port" "$@"; }
echo content >"$TEST_MNT/f"
expect 0 rdr rpc t status
assert_has "$out" "t: listening on ncacn_ip_tcp:127.0.0.1[$port]" "with the mount, from 127.0.0.1"
expect 0 rdr rpc t listen
assert_has "$out" "t: already, listening on"
expect 5 user "$MINIRDR" rpc t stop
expect 0 rdr rpc t stop --json
assert_eq "$(jq -c '[.status, .rpc.phase, .exit_code]' <<<"$out")" '[0,"not_listening",0]'
assert_errno refused tcp 2
expect 3 rdr rpc t status
is_state running || fail "the mount is touched"
expect 5 user "$MINIRDR" rpc t listen
expect 0 rdr rpc t listen
assert_eq "$(tcp 2)" "0 1" "it listens again"
cat "$TEST_MNT/f" >/dev/null &
wait_until "the read is under way" eval '[ "$(rdr requests t --json | jq .requests_total)" != 0 ]'
assert_eq "$(tcp 3)" 0 "stopped from a network"
expect 0 rdr status t
assert_has "$out" "asked by remote 127.0.0.1:"
expect 0 rdr stop t
assert_has "$out" "asked by remote 127.0.0.1:"
expect 0 rdr wait t --for stopped
expect 0 rdr stop t
assert_has "$out" "already stopped (" "asked by remote 127.0.0.1:"
assert_has "$(rdr events t)" "asked_by=remote:127.0.0.1:"
expect 3 rdr status t --json
asker=$(jq -r '.mount.last_stop.asked_by | "\(.uid) \(.remote)"' <<<"$out")
assert_has "$asker" "4294967295 127.0.0.1:"
expect 0 rdr start t
expect 0 rdr rpc t listen
assert_eq "$(tcp 2)" "0 1" "and again"
