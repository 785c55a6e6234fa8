#!/usr/bin/env bash
# TIMEOUT: 30
# S-09: tables have upper-case columns, -o picks some, -n leaves the header out.
. "$TEST_LIB/common.sh"
need jq
expect 0 rdr list
assert_eq "$(head -n 1 <<<"$out")" "0 mounts"
mount_rdr memory:
expect 0 rdr list
assert_eq "$(sed -n 1p <<<"$out")" "1 mount"
assert_has "$(sed -n 2p <<<"$out")" NAME STATE SOURCE MOUNT REQ HANDLES UNSENT AGE
assert_has "$(sed -n 3p <<<"$out")" t running memory: "$TEST_MNT"
expect 0 rdr list -n -o STATE,NAME
assert_eq "$(sed -n 2p <<<"$out")" "running  t"
expect 2 rdr list -o COLOUR
assert_one_line "$err"
