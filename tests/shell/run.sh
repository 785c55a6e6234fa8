#!/usr/bin/env bash
# Runs the shell cases on real mounts: all, or those that match one of some globs, as in:
# run.sh 'stop/*' remote/off
# A case ends with 0 (passed), 77 (skipped) or anything else (failed). It gets a directory, a time
# limit and a process group of its own; what it leaves behind is a failure, and is cleared up.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
: "${MINIRDR:=$(ls -t "$root"/target/{release,debug}/minirdr 2>/dev/null | head -n 1)}"
[ -x "$MINIRDR" ] || { echo "no minirdr: cargo build first, or set MINIRDR" >&2; exit 2; }
export MINIRDR TEST_LIB="$here/lib"
unset MINIRDR_LOG JOURNAL_STREAM NOTIFY_SOCKET WATCHDOG_USEC
# What the case's processes and mounts are, found by its directory, which no other case shares.
left_processes() { grep -lsF "TEST_DIR=$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3; }
left_mounts() { awk -v dir="$1/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | tac; }

sweep() { # Clears up after a case; says what there was. What is on its way out gets a moment.
  local mount pid end=$((SECONDS + 3))
  while [ -n "$(left_processes "$1")" ] && [ "$SECONDS" -lt "$end" ]; do sleep 0.1; done
  for pid in $(left_processes "$1"); do
    echo "left behind: process $pid ($(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null))"
    kill -9 "$pid" 2>/dev/null
  done
  for mount in $(left_mounts "$1"); do
    echo "left behind: a mount on $mount"
    umount -l "$mount" 2>/dev/null || fusermount3 -u -z "$mount"
  done
}

matches() { # Is this a case that is asked for? Without a glob all are.
  local name=$1 glob
  shift
  [ "$#" -gt 0 ] || return 0
  for glob in "$@"; do
    # shellcheck disable=SC2053 # The glob is meant as one.
    [[ $name == $glob || $name == ${glob%.sh} ]] && return 0
  done
  return 1
}

passed=0 failed=() skipped=()
while read -r case; do
  name=${case#"$here"/cases/} name=${name%.sh}
  matches "$name" "$@" || continue
  limit=$(sed -n 's/^# TIMEOUT: //p' "$case")
  dir=$(mktemp -d "${TMPDIR:-/tmp}/minirdr-case.XXXXXX")
  mkdir "$dir"/{home,run,state,tmp,mnt} && chmod 755 "$dir" && chmod 700 "$dir"/{run,state}
  started=$SECONDS
  env TEST_DIR="$dir" TEST_MNT="$dir/mnt" HOME="$dir/home" TMPDIR="$dir/tmp" \
    XDG_RUNTIME_DIR="$dir/run" XDG_STATE_HOME="$dir/state" \
    timeout -k 5 "${limit:-60}" bash "$case" >"$dir/log" 2>&1 </dev/null
  code=$?
  left=$(sweep "$dir")
  case "$code$left" in
    0) passed=$((passed + 1)) && printf 'ok    %s (%d s)\n' "$name" $((SECONDS - started)) ;;
    77) skipped+=("$name: $(tail -n 1 "$dir/log")") ;;
    *)
      failed+=("$name")
      [ "$code" = 124 ] && left="over its limit of ${limit:-60} s"$'\n'"$left"
      printf 'FAIL  %s (exit %d, %d s)\n' "$name" "$code" $((SECONDS - started))
      { tail -n 40 "$dir/log" && echo "$left"; } | sed '/^$/d; s/^/      | /'
      printf '      logs in %s; again: tests/shell/run.sh %s\n' "$dir" "$name"
      continue ;;
  esac
  rm -rf "$dir"
done < <(find "$here/cases" -name '*.sh' | sort)

printf '%d passed, %d failed, %d skipped\n' "$passed" "${#failed[@]}" "${#skipped[@]}"
[ "${#skipped[@]}" = 0 ] || printf 'skipped  %s\n' "${skipped[@]}"
[ "${#failed[@]}" = 0 ] || { printf 'failed   %s\n' "${failed[@]}" && exit 1; }
[ "$passed" -gt 0 ] || { echo "nothing ran" >&2 && exit 1; }
