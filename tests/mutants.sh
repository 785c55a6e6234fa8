#!/usr/bin/env bash
# Do the model-checked tests bite? Every patch in tests/mutants breaks the core in one way; each of
# the tests it names must fail on it, and all of them must pass without it. On a copy, never here.
# All mutants, or those that match one of some globs: tests/mutants.sh 'gate-*' 'queue-*'
# A patch may say that it takes so many `Times` the usual number of shuttle's schedules to be seen.
# Exit 1 if one survives, does not apply or does not build.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
shopt -s nullglob
patches=()
for wanted in "${@:-*}"; do
  found=("$root"/tests/mutants/$wanted.patch)
  [ "${#found[@]}" -gt 0 ] || { echo "no mutant matches '$wanted'" >&2; exit 2; }
  patches+=("${found[@]}")
done
# One at a time: the copies share what they build, and one would run what another broke.
mkdir -p "$root/target/mutants" && exec 9>"$root/target/mutants/lock" && flock -n 9 || {
  echo "another tests/mutants.sh runs here" >&2
  exit 2
}
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=1
copy=$(mktemp -d "${TMPDIR:-/tmp}/mutants.XXXXXX")
trap 'rm -rf "$copy"' EXIT
trap 'exit 2' INT TERM
(cd "$root" && git ls-files -z -co --exclude-standard | xargs -0 cp --parents -t "$copy") || exit 2

# Target directories of its own: cargo tells a package by its place in the workspace, and would take
# what was built from a broken copy for what is to be built here.
run() { # The test's name, times; its output goes to the log. 0 passed, 1 failed, 2 does not build.
  local checker=${1%%_*}
  local cargo=(env RUSTFLAGS="--cfg $checker" cargo test --quiet --locked --profile models
    --manifest-path "$copy/Cargo.toml" --target-dir "$root/target/mutants/$checker" --test "$1")
  "${cargo[@]}" --no-run >"$copy/log" 2>&1 || return 2
  # A checker that found a deadlock may be unable to unwind: the whole program ends then.
  (ulimit -c 0; SHUTTLE_TIMES=${2:-1} timeout -k 10 900 "${cargo[@]}" >"$copy/log" 2>&1) && return 0
  return 1
}

why() { # The first thing that went wrong, in a few words.
  grep -m1 -A1 'panicked at' "$copy/log" | tail -n 1 | cut -c1-70
}

failed=0
row() { printf '%-36s %-16s %-13s %5s  %s\n' "$@"; }
row mutant test result seconds why

for test in $(sed -n 's/^Caught by: //p' "${patches[@]}" | tr ' ' '\n' | sort -u); do
  from=$SECONDS result=passes reason=
  run "$test" || { result="DOES NOT PASS" reason=$(why) failed=1; }
  row "(none)" "$test" "$result" $((SECONDS - from)) "$reason"
done

for patch in "${patches[@]}"; do
  name=$(basename "$patch" .patch)
  if ! (cd "$copy" && git apply -C1 "$patch") >"$copy/log" 2>&1; then
    row "$name" - "NO MORE APPLIES" - "$(head -n 1 "$copy/log")"
    failed=1
    continue
  fi
  for test in $(sed -n 's/^Caught by: //p' "$patch"); do
    from=$SECONDS reason=
    run "$test" "$(sed -n 's/^Times: //p' "$patch")"
    case $? in
      0) result=SURVIVES failed=1 ;;
      1) result=caught reason=$(why) ;;
      *) result="DOES NOT BUILD" failed=1 reason=$(grep -m1 '^error' "$copy/log") ;;
    esac
    row "$name" "$test" "$result" $((SECONDS - from)) "$reason"
  done
  (cd "$copy" && git apply -R -C1 "$patch") || exit 2
done

echo "${#patches[@]} mutants"
exit "$failed"
