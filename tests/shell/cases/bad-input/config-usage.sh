#!/usr/bin/env bash
# TIMEOUT: 30
# S-112: with --config there is no SOURCE and no option of a mini-redirector: one line, exit 2.
. "$TEST_LIB/common.sh"
cat >"$TEST_DIR/net.toml" <<'FILE'
[[provider]]
name = "a"
prefix = ["/a"]
source = "memory:"
FILE
wrong() {
  expect 2 rdr mount "${@:2}"
  assert_one_line "$err"
  assert_has "$err" "$1"
  assert_eq "$out" "" stdout
}
wrong "'[DIR]'" --config "$TEST_DIR/net.toml" memory: "$TEST_MNT"
wrong "<SOURCE>" --config "$TEST_DIR/net.toml"
wrong "<DIR>" "$TEST_MNT"
wrong "mounted with --config FILE" "config:$TEST_DIR/net.toml" "$TEST_MNT"
wrong "option latency is none of the mount's" \
  --config "$TEST_DIR/net.toml" "$TEST_MNT" -o latency=5ms
wrong "option entry_timeout" --config "$TEST_DIR/net.toml" "$TEST_MNT" -o entry_timeout=soon
wrong '"a/b" cannot name a mount' --config "$TEST_DIR/net.toml" "$TEST_MNT" --name a/b
! is_mounted "$TEST_MNT" || fail "something was mounted"
assert_eq "$(find "$TEST_DIR/run" "$TEST_DIR/state" -mindepth 1)" "" "left behind"
