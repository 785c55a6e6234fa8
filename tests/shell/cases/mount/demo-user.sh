#!/usr/bin/env bash
# TIMEOUT: 90
# S-10, S-04: the tour goes through as a normal user.
. "$TEST_LIB/common.sh"
need_user
chown 65534:65534 "$TEST_DIR"/{run,tmp,home}
before=$(cat /proc/self/mountinfo)
expect 0 user "$MINIRDR" demo
assert_eq "$(cat /proc/self/mountinfo)" "$before" "mounts"
assert_eq "$(ls -A "$TEST_DIR/tmp")" "" "temporary files"
