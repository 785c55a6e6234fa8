#!/usr/bin/env bash
# minirdr `local` beside its peers: native, bindfs, `rclone mount` of a local directory, and libfuse's
# passthrough_hp where a path to its binary is given. Installs bindfs and rclone from Debian, mounts
# each on a directory of its own below one scratch directory, runs the bench `peers` over all of them,
# and unmounts again. As root.
#
#   benches/peers/run.sh [--rounds N] [--only PREFIX] [--on DIR] [--hp PASSTHROUGH_HP]
#
# --on DIR: the scratch directory is made there (default: /dev/shm, so that what is measured is the
# file system and not the disk). Columns: native in time, every other as a ratio to native, then
# minirdr as a ratio to every peer. Less is better everywhere.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
on=/dev/shm hp= words=()
while [ $# -gt 0 ]; do
  case $1 in
    --on) on=$2; shift 2 ;;
    --hp) hp=$2; shift 2 ;;
    --rounds | --only) words+=("$1" "$2"); shift 2 ;;
    *) echo "what is $1?" >&2; exit 2 ;;
  esac
done
[ "$(id -u)" = 0 ] || { echo "needs root" >&2; exit 1; }
need() { command -v "$1" >/dev/null || apt-get install -y -qq "${2:-$1}" >/dev/null; }
need bindfs; need rclone; need git; need make; need gcc; need fusermount3 fuse3
cd "$root"
cargo build --quiet --release --locked
cargo bench --quiet --locked --no-run --bench peers

scratch=$(mktemp -d "$on/peers.XXXXXX")
run=$scratch/run
mounted=() pids=()
end() {
  for place in "${mounted[@]}"; do timeout 20 umount "$place" || timeout 20 umount -l "$place" || true; done
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$scratch"
}
trap end EXIT
mkdir "$run"
await() { # A directory becomes a mount point, within ten seconds.
  for _ in $(seq 200); do mountpoint -q "$1" && return; sleep 0.05; done
  echo "$1 was not mounted" >&2; return 1
}

# One tree for all: 40 directories of 50 files, a program to build, a repository.
tree=$scratch/source/tree
mkdir -p "$tree"
awk -v tree="$tree" 'BEGIN {
  srand(1)
  for (d = 0; d < 40; d++) {
    dir = tree "/d" d; system("mkdir -p " dir)
    for (f = 0; f < 50; f++) {
      file = dir "/f" f ".txt"; size = int(rand() * 18000) + 200
      line = sprintf("%063d\n", f); for (n = 0; n < size; n += 64) printf "%s", line > file
      close(file)
    }
  }
  for (c = 0; c < 40; c++) {
    file = tree "/c" c ".c"
    printf "#include <stdio.h>\n#include <stdlib.h>\nint f%d(int x) { return printf(\"%%d\", x * %d); }\n", c, c > file
    close(file)
  }
}'
printf 'objects = $(patsubst %%.c,%%.o,$(wildcard *.c))\nall: $(objects)\nclean:\n\trm -f *.o\n%%.o: %%.c\n\tcc -O1 -c $< -o $@\n' >"$tree/Makefile"
export TAR=$scratch/tree.tar REPO=$scratch/repo
tar -C "$scratch/source" -cf "$TAR" tree
cp -r "$tree" "$REPO"
git -C "$REPO" init -q
git -C "$REPO" add -A
git -C "$REPO" -c user.name=bench -c user.email=bench@localhost commit -q -m tree
# Whose the repository is does not matter here.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'

places=()
place() { mkdir -p "$scratch/$1.back" "$scratch/$1"; places+=("$1=$scratch/$1"); mounted+=("$scratch/$1"); }
mkdir "$scratch/native"; places+=("native=$scratch/native")
place minirdr
XDG_RUNTIME_DIR=$run target/release/minirdr mount "local:$scratch/minirdr.back" "$scratch/minirdr" --name peers
place bindfs
bindfs "$scratch/bindfs.back" "$scratch/bindfs"
place rclone
rclone mount "$scratch/rclone.back" "$scratch/rclone" --config /dev/null --vfs-cache-mode writes \
  --cache-dir "$scratch/rclone.cache" >"$scratch/rclone.log" 2>&1 &
pids+=($!)
await "$scratch/rclone"
if [ -n "$hp" ]; then
  place hp
  "$hp" --foreground "$scratch/hp.back" "$scratch/hp" >"$scratch/hp.log" 2>&1 &
  pids+=($!)
  await "$scratch/hp"
  place hp-np
  "$hp" --foreground --nopassthrough "$scratch/hp-np.back" "$scratch/hp-np" >"$scratch/hp-np.log" 2>&1 &
  pids+=($!)
  await "$scratch/hp-np"
fi
cargo bench --quiet --locked --bench peers -- "${places[@]}" "${words[@]}"
