#!/usr/bin/env bash
# Installs what minirdr needs and this machine lacks (Debian and its kin), then runs the command it
# was given with cargo on its PATH:
#
#   contrib/setup.sh cargo run --release -- demo
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# program:package. fuse3 is needed to run, gcc to build; the rest only serves the tests.
wanted="fusermount3:fuse3 cc:gcc curl:curl ps:procps git:git python3:python3 jq:jq rsync:rsync
        sqlite3:sqlite3 getfattr:attr setpriv:util-linux man:man-db make:make systemd-analyze:systemd"
missing=()
for pair in $wanted; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ "${#missing[@]}" -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    say "no apt-get here; please install: ${missing[*]}"
    exit 1
  fi
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    ca-certificates "${missing[@]}" >/dev/null
fi

PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
export PATH
if ! command -v cargo >/dev/null; then
  say "installing Rust with rustup, for this user only"
  curl -sSf --proto '=https' --tlsv1.2 https://sh.rustup.rs |
    sh -s -- -y -q --profile minimal --component rustfmt --component clippy
fi
[ -e /dev/fuse ] || say "there is no /dev/fuse: nothing can be mounted here (modprobe fuse)"

[ "$#" = 0 ] || exec "$@"
