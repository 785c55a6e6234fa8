#!/usr/bin/env bash
# All tests: formatting, lints, documentation, `cargo test`, the model-checked tests, and the shell
# cases on real mounts.
# Every step runs, whatever the others say; the summary is at the end.
set -uo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
export PATH CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"

summary=()
failed=0
step() {
  local name=$1 from=$SECONDS result=ok
  shift
  printf '\n== %s: %s\n' "$name" "$*"
  "$@" || { [ $? = 77 ] && result=skipped || { result=FAILED && failed=1; }; }
  summary+=("$(printf '%-10s %-7s %4d s' "$name" "$result" $((SECONDS - from)))")
}

step format cargo fmt --check
step lints cargo clippy --quiet --all-targets --locked -- -D warnings
step docs env RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --locked
step tests timeout -k 10 900 cargo test --quiet --locked --no-fail-fast
# The same locks, gate and device behind a model checker; each has a target directory of its own,
# or every switch would build all again. Longer: docs/TESTING.md, "Model checking".
model() {
  local checker=$1
  shift
  env RUSTFLAGS="--cfg $checker" timeout -k 10 900 cargo test --quiet --locked --profile models \
    --target-dir "target/$checker" "${@/#/--test=${checker}_}"
}
step loom model loom gate queue context mup
step shuttle model shuttle control objects mup
step build cargo build --quiet --release --locked
step shell env MINIRDR="$PWD/target/release/minirdr" tests/shell/run.sh
for judge in impacket varlink varlinkctl openmetrics; do
  step "$judge" env MINIRDR="$PWD/target/release/minirdr" "tests/judges/$judge.sh"
done

printf '\n== summary\n'
printf '%s\n' "${summary[@]}"
exit "$failed"
