#!/usr/bin/env bash
# Outside suites on mounts of their own: pjdfstest, fsx, fio's verification and the file stressors of
# stress-ng, on memory: and on local:, and fsx with a stop and a start in its middle. It ends with 0
# only if everything passed.
#
#   tests/outside.sh                  pjdfstest, fsx with 10 seeds of 10,000 operations, restart, fio
#   OPS=1000000 SEEDS=1 tests/outside.sh fsx
#   SECS=12 MOUNTS=local tests/outside.sh stress      each stressor for so long (4)
#   tests/outside.sh pjdfstest | fsx | restart | fio | stress
#
# Needs root, FUSE and the programs pjdfstest and fsx in $PATH or ~/.cargo/bin:
#   cargo install --locked pjdfstest@0.2.2 fsx@0.3.2     (pjdfstest: libacl1-dev)
# and Debian's fio and stress-ng. The mounts are below /tmp, in a runtime directory of their own. With
# NATIVE=DIR the suites run in that directory instead, to see whose a failure is.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
: "${MINIRDR:=$root/target/release/minirdr}" "${OPS:=10000}"
: "${SEEDS:=1 2 3 4 5 6 7 8 9 10}" "${SECS:=4}" "${MOUNTS:=memory local}"
PATH=$PATH:$HOME/.cargo/bin
work=$(mktemp -d /tmp/minirdr-outside.XXXXXX)
mkdir "$work"/{run,back,memory,local} && chmod 755 "$work"
export XDG_RUNTIME_DIR=$work/run
failures=0

rdr() { timeout 60 "$MINIRDR" "$@"; }
fails() { echo "FAIL  $*" && failures=$((failures + 1)); }
end() {
  for name in memory local; do rdr umount "$name" --deadline 5s --on-deadline abort; done >/dev/null
  # Interrupted, a suite may still be inside: then the daemon needs its directory.
  grep -q " $work/" /proc/self/mountinfo && echo "still in use: $work" >&2 && return
  rm -rf --one-file-system "$work"
}
trap end EXIT
[ -x "$MINIRDR" ] || { echo "no $MINIRDR: cargo build --release" >&2; exit 2; }
rdr mount memory: "$work/memory" --name memory -o allow_other || exit 2
rdr mount "local:$work/back" "$work/local" --name local -o allow_other || exit 2
if [ -n "${NATIVE:-}" ]; then
  MOUNTS=native && mkdir -p "$NATIVE" && ln -s "$(realpath "$NATIVE")" "$work/native"
fi

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

# One job of fio: what it writes has a checksum in every block, and is read back and compared.
fio_job() { # fio_job MOUNT NAME OPTION...
  local mount=$1 name=$2
  shift 2
  mkdir -p "$work/$mount/fio"
  timeout 300 fio --name="$name" --directory="$work/$mount/fio" --size=32m --verify=crc32c \
    --verify_fatal=1 --verify_dump=0 --do_verify=1 --minimal "$@" >"$work/fio.log" 2>&1
  code=$?
  rm -rf "$work/$mount/fio"
  if [ "$code" = 0 ] && ! grep -q 'verify: bad' "$work/fio.log"; then passed=$((passed + 1)); else
    grep -v '^3;' "$work/fio.log" | tail -n 3 && fails "fio $name on $mount"; fi
}
fio_on() {
  local passed=0 mount=$1
  j() { fio_job "$mount" "$@"; }
  j in-order --rw=write --bs=128k
  j at-random --rw=randwrite --bs=4k
  j unaligned --rw=randwrite --bsrange=512-70001 --bs_unaligned=1 --verify_interval=512
  j mixed --rw=randrw --rwmixread=40 --bs=4k
  j fsync --rw=randwrite --bs=8k --fsync=16 --size=8m
  j o-sync --rw=randwrite --bs=4k --sync=1 --size=4m
  j allocated --rw=randwrite --bs=32k --fallocate=keep
  j backlog --rw=randwrite --bs=8k --verify_backlog=128
  j four-at-once --numjobs=4 --rw=randwrite --bs=8k --size=8m
  j many-files --nrfiles=200 --rw=randwrite --bs=4k
  j o-direct --direct=1 --rw=randwrite --bs=64k
  for engine in mmap vsync splice; do j "$engine" --ioengine=$engine --rw=write --bs=64k; done
  j mmap-at-random --ioengine=mmap --rw=randwrite --bs=4k
  for engine in libaio io_uring; do
    for direct in 0 1; do
      j "$engine-$direct" --ioengine=$engine --direct=$direct --iodepth=16 --rw=randwrite --bs=16k
    done
  done
  echo "fio on $mount: $passed jobs passed"
}

# Stressors of stress-ng's class of file systems that touch no file of ours, or (io) every mount there
# is; and those of other classes that do.
others='bind-mount binderfs dup eventfd fanotify io ioprio procfs'
besides='aio aiol flock msync readahead revio seek sendfile splice truncate umask unlink'
stress_on() {
  local mount=$1 dir=$work/$1/stress one passed=0 cannot='' class
  class=$(stress-ng --class 'filesystem?' 2>&1 | sed 's/.*: //')
  for one in $class $besides; do
    case " $others " in *" $one "*) continue ;; esac
    mkdir -m 777 "$dir"
    timeout $((SECS + 120)) stress-ng "--$one" 2 --timeout "$SECS" --verify --temp-path "$dir" \
      >"$work/stress.log" 2>&1
    code=$?
    case $code in
      0) if grep -q 'skipping stressor' "$work/stress.log"; then cannot+=" $one"; else
           passed=$((passed + 1)); fi ;;
      # It says itself that what it needs is not there.
      3 | 4) cannot+=" $one" ;;
      *) grep -i fail "$work/stress.log" | head -n 3 && fails "stress-ng $one on $mount ($code)" ;;
    esac
    rm -rf "$dir"
  done
  echo "stress-ng on $mount: $passed stressors of $SECS s passed; not possible:${cannot:- none}"
}

for what in ${*:-pjdfstest fsx restart fio}; do
  for mount in $MOUNTS; do
    case $what in
      pjdfstest) pjdfstest_on "$mount" ;;
      restart) restart_on "$mount" ;;
      fio) fio_on "$mount" ;;
      stress) stress_on "$mount" ;;
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
