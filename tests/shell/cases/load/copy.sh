#!/usr/bin/env bash
# TIMEOUT: 60
# S-31, S-38: a stop in the middle of `cp -a`: it fails with a clear error or finishes, no file
# that it did not complain of is torn, and after the start the same command completes.
. "$TEST_LIB/common.sh"
need jq
for number in $(seq 300); do
  mkdir -p "$TEST_DIR/tree/d$((number % 17))"
  seq "$((number * 50))" >"$TEST_DIR/tree/d$((number % 17))/f$number"
done
body() {
  local code=0 stopped=0 whole=0 file
  cp -a "$TEST_DIR/tree" copy 2>"$TEST_DIR/cp" &
  wait_until "it has begun" test -e copy/d1/f1
  run rdr stop t --wait
  case "$code" in 0 | 10) ;; *) fail "exit $code" ;; esac
  wait $! || stopped=$?
  [ "$stopped" = 0 ] || assert_has "$(<"$TEST_DIR/cp")" "transport endpoint shutdown"
  assert_lacks "$(grep -v "transport endpoint shutdown" "$TEST_DIR/cp" || :)" "cp:"
  expect 0 rdr start t
  # What cp did not complain of is whole.
  while read -r file; do
    grep -qF "$file'" "$TEST_DIR/cp" || cmp "$TEST_DIR/tree/${file#copy/}" "$file"
    whole=$((whole + 1))
  done < <(find copy -type f)
  say "ended with $stopped after $whole files"
  cp -a "$TEST_DIR/tree/." copy
  diff -r "$TEST_DIR/tree" copy
  rm -r copy
}
each_source body
