#!/usr/bin/env bash
# TIMEOUT: 60
# S-11: programs that append to one file at the same time lose nothing.
. "$TEST_LIB/common.sh"
body() {
  local writer pids=()
  for writer in a b c d; do
    (for number in $(seq 200); do echo "$writer $number" >>log; done) &
    pids+=($!)
  done
  for writer in "${pids[@]}"; do wait "$writer"; done
  assert_eq "$(sort -u log | wc -l)" 800
  assert_eq "$(wc -l <log)" 800
}
each_source body
