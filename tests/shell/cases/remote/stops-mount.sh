#!/usr/bin/env bash
# TIMEOUT: 60
# S-73, S-74: where a network is allowed to, its stop ends the listening and, with
# --rpc-stop=mount, stops the mount: what is open is waited for as in any stop, the caller is
# recorded as nobody, the mount stays and can be started. The control socket answers throughout.
. "$TEST_LIB/common.sh"
need python3 jq
port=$(python3 -c 'import socket
print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
mount_rdr memory: --rpc "ncacn_ip_tcp:127.0.0.1[$port]" --rpc-allow-stop=192.0.2.0/24,127.0.0.1 \
  --rpc-stop=mount
assert_has "$(<"$TEST_DIR/daemon.log")" "allowed from 127.0.0.1" "allowed from 192.0.2.0/24"
echo content >"$TEST_MNT/f"
assert_eq "$(python3 "$TEST_LIB/remote.py" 127.0.0.1 "$port" 3)" 0 "allowed"
expect 0 rdr wait t --for stopped
assert_errno "after transport endpoint shutdown" cat "$TEST_MNT/f"
expect 3 rdr status t --json
stop=$(jq .mount.last_stop <<<"$out")
assert_eq "$(jq -c '[.asked_by.uid, .asked_by.pid]' <<<"$stop")" "[4294967295,0]" "who asked"
assert_has "$(jq -r .reason <<<"$stop")" "stop_server_listening from 127.0.0.1:"
is_mounted "$TEST_MNT" || fail "it was unmounted"
assert_errno "refused" python3 "$TEST_LIB/remote.py" 127.0.0.1 "$port" 2
expect 0 rdr start t
assert_eq "$(cat "$TEST_MNT/f")" content
