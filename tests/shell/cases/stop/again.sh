#!/usr/bin/env bash
# TIMEOUT: 30
# S-37: asked again it was already so: exit 0, with --strict 14; the same for start.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
expect 0 rdr start t
assert_eq "$out" "t: already running"
expect 14 rdr start t --strict
expect 0 rdr stop t --wait
assert_eq "$out" "t: stopped, nothing unsent, still mounted"
expect 0 rdr stop t
assert_has "$out" "t: already stopped (20" "asked by uid $(id -u))"
expect 14 rdr stop t --strict
expect 0 rdr stop t --wait
expect 3 rdr status t
assert_has "$out" "t: stopped for"
expect 0 rdr start t
expect 0 rdr status t
