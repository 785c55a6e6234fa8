#!/usr/bin/env bash
# TIMEOUT: 30
# S-08, S-09: with --json an error is one object with a code, whatever was wrong.
. "$TEST_LIB/common.sh"
need jq
wrong() {
  expect "$1" rdr "${@:3}" --json
  assert_eq "$(jq -r .schema <<<"$out")" minirdr/1
  assert_eq "$(jq -r .error.code <<<"$out")" "$2"
}
wrong 2 usage frobnicate
wrong 2 usage mount nosuch: "$TEST_MNT"
wrong 1 failed mount memory: "$TEST_DIR/nowhere"
wrong 3 not_running stop nobody
