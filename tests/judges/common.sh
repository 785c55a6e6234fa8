# What the judges share: a mount of memory: with remote management, and its end. Source it.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
MINIRDR=${MINIRDR:-$root/target/debug/minirdr}
work=$(mktemp -d)
export XDG_RUNTIME_DIR=$work/run
mkdir -p "$work/run" "$work/mnt"
name=judged

say() { echo "judge: $*"; }
fail() {
  say "FAILED: $*"
  [ ! -s "$work/log" ] || sed 's/^/  log: /' "$work/log"
  exit 1
}

finish() {
  timeout 20 "$MINIRDR" umount --force "$name" >/dev/null 2>&1 || true
  rm -rf --one-file-system "$work"
}
trap finish EXIT

# Mounts with these words after the source and the directory.
mount_with() { timeout 30 "$MINIRDR" mount --name "$name" --log "$work/log" memory: "$work/mnt" "$@"; }
unmount() { timeout 30 "$MINIRDR" umount "$name"; }

# python_with PACKAGE VERSION MODULE : a Python that has the package of PyPI is $python; it is
# installed once.
python_with() {
  local venv=$root/target/judges/$1-$2
  python=$venv/bin/python
  [ -x "$python" ] && "$python" -c "import $3" 2>/dev/null && return
  say "installing $1 $2 into $venv"
  { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "$1==$2"; } ||
    { say "skipped: needs python3-venv and PyPI" && exit 77; }
}

# A port nobody listens on.
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Waits up to ten seconds for a command to succeed.
wait_until() {
  local end=$((SECONDS + 10))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    read -rt 0.1 <> <(:) || true
  done
}
