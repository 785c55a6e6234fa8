#!/usr/bin/env bash
# Outside suites on mounts of their own: pjdfstest and fsx, on memory: and on local:, and fsx with a
# stop and a start in its middle. It ends with 0 only if everything passed.
#
#   tests/outside.sh                  all of it, 10 seeds of 10,000 operations
#   OPS=1000000 SEEDS=1 tests/outside.sh fsx
#   tests/outside.sh pjdfstest | fsx | restart
#
# Needs root, FUSE and the programs pjdfstest and fsx in $PATH or ~/.cargo/bin:
#   cargo install --locked pjdfstest@0.2.2 fsx@0.3.2     (pjdfstest: libacl1-dev)
# The mounts are below /tmp, in a runtime directory of their own.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
: "${MINIRDR:=$root/target/release/minirdr}" "${OPS:=10000}"
: "${SEEDS:=1 2 3 4 5 6 7 8 9 10}"
PATH=$PATH:$HOME/.cargo/bin
work=$(mktemp -d /tmp/minirdr-outside.XXXXXX)
mkdir "$work"/{run,back,memory,local} && chmod 755 "$work"
export XDG_RUNTIME_DIR=$work/run
failures=0

rdr() { timeout 60 "$MINIRDR" "$@"; }
fails() { echo "FAIL  $*" && failures=$((failures + 1)); }
end() {
  for name in memory local; do rdr umount "$name" --deadline 5s --on-deadline abort; done >/dev/null
  rm -rf --one-file-system "$work"
}
trap end EXIT
[ -x "$MINIRDR" ] || { echo "no $MINIRDR: cargo build --release" >&2; exit 2; }
rdr mount memory: "$work/memory" --name memory -o allow_other || exit 2
rdr mount "local:$work/back" "$work/local" --name local -o allow_other || exit 2

# What fsx does, and how often: all it knows, mapped reads and writes among them.
cat >"$work/fsx.toml" <<'TOML'
flen = 262144
[opsize]
max = 65536
min = 1
[weights]
read = 10
write = 10
mapread = 10
mapwrite = 10
truncate = 6
close_open = 2
fsync = 1
fdatasync = 1
invalidate = 1
punch_hole = 3
copy_file_range = 3
posix_fallocate = 3
TOML
fsx_on() { # fsx_on MOUNT SEED OPERATIONS
  fsx -q -f "$work/fsx.toml" -N "$3" -S "$2" -P "$work" "$work/$1/fsx.$2" >"$work/fsx.log" 2>&1
}

pjdfstest_on() {
  local features='posix_fallocate utime_now utimensat rename_ctime' dir=$work/$1/pjd
  { echo '[features]' && printf '%s = {}\n' $features
    printf '[settings]\nnaptime = 0.01\n[dummy_auth]\n'
    echo 'entries = [ ["nobody","nogroup"], ["daemon","daemon"] ]'; } >"$work/pjd.toml"
  mkdir -m 777 "$dir"
  pjdfstest -c "$work/pjd.toml" -s "$work/back" -p "$dir" >"$work/pjd.log" 2>&1
  grep 'FAILED$' "$work/pjd.log"
  echo "pjdfstest on $1: $(grep '^Summary' "$work/pjd.log")"
  grep -q '^Summary: 0 failed' "$work/pjd.log" || fails "pjdfstest on $1"
}

is_running() { # Has this process not halted yet?
  [ "$(awk '{print $3}' "/proc/$1/stat" 2>/dev/null)" != T ]
}
# fsx is halted between two operations, the mount stopped and started, and fsx goes on with the same
# descriptors and mappings: every byte it reads is checked against what it wrote before.
restart_on() {
  local rounds=0 fsx
  fsx_on "$1" 1 "$OPS" &
  fsx=$!
  while kill -0 "$fsx" 2>/dev/null && [ "$rounds" -lt 20 ]; do
    program=$(pgrep -P "$fsx" -x fsx || true)
    [ -n "$program" ] || continue
    kill -STOP "$program" 2>/dev/null || break
    # Halted only when what it asked for is done: asked again by the kernel, it would be refused.
    while [ -d "/proc/$program" ] && is_running "$program"; do :; done
    # 10: its descriptor is open, as it mostly is.
    rdr stop "$1" --wait >"$work/stop.log" 2>&1
    code=$?
    [ "$code" = 0 ] || [ "$code" = 10 ] || { cat "$work/stop.log" && fails "a stop of $1"; }
    rdr start "$1" >/dev/null || fails "a start of $1"
    kill -CONT "$program" && rounds=$((rounds + 1))
  done
  if wait "$fsx"; then echo "fsx on $1 with $rounds stops and starts: passed"; else
    head -n 20 "$work/fsx.log" && fails "fsx on $1 after $rounds stops and starts"; fi
  [ "$rounds" -gt 0 ] || fails "no stop came while fsx ran on $1: give it more OPS"
}

for what in ${*:-pjdfstest fsx restart}; do
  for mount in memory local; do
    case $what in
      pjdfstest) pjdfstest_on "$mount" ;;
      restart) restart_on "$mount" ;;
      fsx)
        for seed in $SEEDS; do
          if fsx_on "$mount" "$seed" "$OPS"; then echo "fsx on $mount, seed $seed: passed"; else
            tail -n 5 "$work/fsx.log" && fails "fsx on $mount, seed $seed"; fi
        done ;;
      *) echo "no suite: $what" >&2 && exit 2 ;;
    esac
  done
done
[ "$failures" = 0 ]
