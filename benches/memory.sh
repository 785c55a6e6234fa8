#!/usr/bin/env bash
# Memory of a daemon that has shown very many files: before, at the peak, and when the kernel has
# forgotten them again. It ends with 0 only if memory returned.
#
#   benches/memory.sh                  1,000,000 files in 1,000 directories, local: and memory:
#   FILES=100000 SOURCES=local benches/memory.sh
#
# Needs root, for /proc/sys/vm/drop_caches; FUSE, jq and python3. All is below $DIR (/tmp), on tmpfs if
# that is one: a million files of ext4 take 4 GiB.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
: "${MINIRDR:=$root/target/release/minirdr}" "${FILES:=1000000}" "${SOURCES:=local memory}" "${DIR:=/tmp}"
work=$(mktemp -d "$DIR/minirdr-memory.XXXXXX")
mkdir "$work"/{run,back,mount}
export XDG_RUNTIME_DIR=$work/run
rdr() { timeout 120 "$MINIRDR" "$@"; }
end() {
  rdr umount mem --deadline 10s --on-deadline abort >/dev/null 2>&1 || true
  if grep -q " $work/" /proc/self/mountinfo; then echo "still in use: $work" >&2; else rm -rf "$work"; fi
}
trap end EXIT

fill() { # fill DIRECTORY: an empty file for each number
  python3 - "$1" "$FILES" <<'PYTHON'
import os, sys
top, files = sys.argv[1], int(sys.argv[2])
for number in range(files):
    if number % 1000 == 0:
        os.mkdir(f"{top}/{number // 1000}")
    os.close(os.open(f"{top}/{number // 1000}/{number}", os.O_CREAT | os.O_WRONLY))
PYTHON
}
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"; }
nodes() { rdr metrics mem | awk '$1 ~ /^minirdr_known_files/ { print $2 }'; }
row() { # row WHAT: and remembers the resident size in $kib
  kib=$(resident)
  printf '%-8s %-28s %10s kB resident %8s files known\n' "$source" "$1" "$kib" "$(nodes)"
}
# The kernel forgets in the background: until it knows next to nothing, and the allocator, which
# gives back what was not used for ten seconds, gives back no more.
forgotten() {
  local end=$((SECONDS + 300)) was
  until [ "$(nodes)" -lt 1000 ]; do
    [ "$SECONDS" -lt "$end" ] || return 1
    echo 2 >/proc/sys/vm/drop_caches
    sleep 0.5
  done
  was=$(resident)
  while sleep 12 && [ $(($(resident) + 1024)) -lt "$was" ]; do was=$(resident); done
}

failed=0
for source in $SOURCES; do
  case $source in
    local) fill "$work/back" && rdr mount "local:$work/back" "$work/mount" --name mem >/dev/null ;;
    memory) rdr mount memory: "$work/mount" --name mem -o files=$((2 * FILES)) >/dev/null ;;
    *) echo "no source: $source" >&2 && exit 2 ;;
  esac
  pid=$(rdr status mem --json | jq .mount.pid)
  if [ "$source" = memory ]; then
    row 'mounted'
    fill "$work/mount"
    forgotten || failed=1
    row 'filled and forgotten'
  else
    row 'mounted'
  fi
  before=$kib
  for round in 1 2; do
    [ "$(find "$work/mount" -type f -size -2 | wc -l)" = "$FILES" ] || failed=1
    row "round $round: find has been"
    peak=$kib
    forgotten || { echo "the kernel does not forget" >&2 && failed=1; }
    row "round $round: forgotten"
  done
  # What stays is less than a twentieth of what came, and 16 MiB for what is used again.
  [ $((kib - before)) -lt $(((peak - before) / 20 + 16384)) ] || {
    echo "$source: kept $((kib - before)) kB" && failed=1
  }
  rdr umount mem >/dev/null
done
exit "$failed"
