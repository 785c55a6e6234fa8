#!/usr/bin/env bash
# impacket, a client nobody here wrote, against our remote management: its five calls decode, its
# stop is denied by default and changes nothing, and where it is allowed it stops what was chosen.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { say "skipped: needs root and /dev/fuse" && exit 77; }
IMPACKET=0.13.1
python_with impacket $IMPACKET impacket
calls() { timeout 60 "$python" "$(dirname "${BASH_SOURCE[0]}")/impacket_calls.py" "$@"; }
state() { "$MINIRDR" status --json "$name" | python3 -c 'import json,sys; print(json.load(sys.stdin)["mount"]["state"])'; }

port=$(free_port)
mount_with --rpc "ncacn_ip_tcp:127.0.0.1[$port]" --rpc-stop=mount
calls "$port" inquire || fail "inquire"
calls "$port" denied || fail "denied"
[ "$(state)" = running ] || fail "a denied stop changed the mount: $(state)"
unmount
calls "$port" gone || fail "an unmounted mount listens"

port=$(free_port)
mount_with --rpc "ncacn_ip_tcp:127.0.0.1[$port]" --rpc-allow-stop=127.0.0.0/8
calls "$port" allowed || fail "allowed"
wait_until calls "$port" gone || fail "it listens after a stop"
[ "$(state)" = running ] || fail "--rpc-stop=server stopped the mount: $(state)"
echo content >"$work/mnt/file" || fail "the mount does not serve"
unmount

port=$(free_port)
mount_with --rpc "ncacn_ip_tcp:127.0.0.1[$port]" --rpc-allow-stop=127.0.0.1 --rpc-stop=mount
calls "$port" allowed || fail "allowed"
timeout 20 "$MINIRDR" wait --for stopped "$name" >/dev/null || fail "the mount does not stop"
"$MINIRDR" events --json "$name" | grep -q 4294967295 || fail "the caller is not recorded"
! cat "$work/mnt/file" 2>/dev/null || fail "a stopped mount serves"
timeout 20 "$MINIRDR" start "$name" >/dev/null || fail "it does not start again"
echo content >"$work/mnt/file" || fail "the mount does not serve"
unmount
say "impacket $IMPACKET is content"
