#!/usr/bin/env bash
# TIMEOUT: 30
# S-08: a wrong command line gets one line that says what was wrong, and exit 2.
. "$TEST_LIB/common.sh"
wrong() {
  expect 2 rdr "$@"
  assert_one_line "$err"
  assert_eq "$out" "" stdout
}
wrong
wrong frobnicate
wrong mount
wrong mount memory:
wrong mount nosuch:thing "$TEST_MNT"
assert_has "$err" "nosuch:" memory: local:DIR faulty:SOURCE
wrong mount memory "$TEST_MNT"
wrong mount memory: "$TEST_MNT" -o entry_timeout=soon
assert_has "$err" entry_timeout
wrong mount memory: "$TEST_MNT" -o survivors=some
wrong mount memory: "$TEST_MNT" -o nonsense=1
assert_has "$err" nonsense
wrong mount faulty:memory: "$TEST_MNT" -o read=hnag
wrong mount memory: "$TEST_MNT" --name "a/b"
wrong stop t --deadline soon
wrong stop t --on-deadline stay
wrong stop t --check --wait
wrong wait t --ticket x
wrong handles t -o COLOUR
! is_mounted "$TEST_MNT" || fail "something was mounted"
assert_eq "$(find "$TEST_DIR/run" -not -type d)" "" "sockets"
