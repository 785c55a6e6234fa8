#!/usr/bin/env bash
# TIMEOUT: 30
# S-08: who may not mount there is told so in one line, exit 5, and nothing is left behind.
. "$TEST_LIB/common.sh"
need_user
chown 65534:65534 "$TEST_DIR/run"
expect 5 user "$MINIRDR" mount memory: "$TEST_MNT" --name t
assert_one_line "$err"
assert_has "$err" "$TEST_MNT"
! is_mounted "$TEST_MNT" || fail "it was mounted"
assert_eq "$(find "$TEST_DIR/run" -type s)" "" sockets
