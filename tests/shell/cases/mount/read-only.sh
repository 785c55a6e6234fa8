#!/usr/bin/env bash
# TIMEOUT: 30
# S-05: a mount with -o ro can be read and not written.
. "$TEST_LIB/common.sh"
need jq
mkdir "$TEST_DIR/back"
echo hello >"$TEST_DIR/back/f"
mount_rdr "local:$TEST_DIR/back" -o ro
assert_eq "$(cat "$TEST_MNT/f")" hello
assert_errno "Read-only file system" touch "$TEST_MNT/g"
assert_errno "Read-only file system" rm "$TEST_MNT/f"
assert_eq "$(jq -r '.mount.options[0]' <<<"$(rdr status t --json)")" ro
