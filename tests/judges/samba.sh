#!/usr/bin/env bash
# Samba, a client nobody here wrote, against our remote management: smbtorture's own judgement of
# the default policy, its Python client over TCP and over a Unix socket, and its suite of raw
# messages, of which Samba's own server 4.17 passes 61 of 64.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

python=${SAMBA_PYTHON:-/usr/bin/python3}
for program in smbtorture unshare ip; do
  command -v "$program" >/dev/null || fail "no $program: apt-get install samba-testsuite iproute2"
done
"$python" -c 'import samba.tests.dcerpc.raw_protocol' 2>/dev/null ||
  fail "no samba for $python: apt-get install python3-samba"

# smbtorture asks port 135 and nothing else: a network of its own has that free.
if [ -z "${JUDGED_APART:-}" ]; then
  trap - EXIT
  rm -rf "$work"
  exec unshare --net env JUDGED_APART=1 "$0" "$@"
fi
ip link set lo up

private=$work/samba
mkdir -p "$private"/{lock,state,cache,private,ncalrpc}
chmod 755 "$private/ncalrpc"
config=$work/smb.conf
cat >"$config" <<CONFIG
[global]
  interfaces = lo
  bind interfaces only = yes
  lock directory = $private/lock
  state directory = $private/state
  cache directory = $private/cache
  private dir = $private/private
  ncalrpc dir = $private/ncalrpc
CONFIG
printf '127.0.0.1 localhost\n' >"$work/hosts"

mount_with --rpc "ncacn_ip_tcp:127.0.0.1[135]" --rpc "ncalrpc:[$private/ncalrpc/EPMAPPER]"

say "smbtorture rpc.mgmt over TCP"
timeout 120 smbtorture --configfile="$config" -U% 'ncacn_ip_tcp:127.0.0.1[135]' rpc.mgmt \
  >"$work/torture" 2>&1 || { sed 's/^/  /' "$work/torture"; fail "smbtorture"; }
grep -E '^(success|failure|error):' "$work/torture" || true

say "Samba's Python client"
timeout 60 "$python" "$here/samba_calls.py" "$config" 'ncacn_ip_tcp:127.0.0.1[135]' denied ||
  fail "Python over TCP"

say "raw_protocol"
export SMB_CONF_PATH=$config SERVER=127.0.0.1 TARGET_HOSTNAME=127.0.0.1 USERNAME=x PASSWORD=x DOMAIN=x
export ALLOW_BIND_AUTH_PAD=0 AUTH_LEVEL_CONNECT_LSA=0 IGNORE_RANDOM_PAD=1 STRICT_CHECKING=0
timeout 300 "$python" -m unittest samba.tests.dcerpc.raw_protocol -k no_auth -k auth_none \
  -k alloc_hint -k assoc_group -k orphaned -k alter_no_auth -k invalid_auth_noctx \
  >"$work/raw" 2>&1 && raw=0 || raw=$?
[ "$raw" != 124 ] || fail "raw_protocol hangs"
grep -E '^(ERROR|FAIL): ' "$work/raw" | sort || true
ran=$(sed -n 's/^Ran \([0-9]*\) tests.*/\1/p' "$work/raw")
lost=$(grep -cE '^(ERROR|FAIL): ' "$work/raw" || true)
say "raw_protocol: $((ran - lost)) of $ran"
[ "$ran" = 64 ] && [ "$((ran - lost))" -ge "${RAW_AT_LEAST:-62}" ] || { cat "$work/raw"; fail "raw_protocol"; }

say "Samba's Python client over the Unix socket, as root: its stop is allowed"
timeout 60 "$python" "$here/samba_calls.py" "$config" 'ncalrpc:[EPMAPPER]' allowed ||
  fail "Python over a Unix socket"
[ ! -e "$private/ncalrpc/EPMAPPER" ] || wait_until test ! -e "$private/ncalrpc/EPMAPPER" ||
  fail "the socket outlives the listening"
unmount
say "Samba is content"
