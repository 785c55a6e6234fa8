#!/usr/bin/env bash
# TIMEOUT: 30
# S-64: the control directory can have another name, or not be there at all.
. "$TEST_LIB/common.sh"
mount_rdr memory: -o control_dir=.ctl
cat "$TEST_MNT/.ctl/status" >/dev/null
[ ! -e "$TEST_MNT/.minirdr" ] || fail "the usual name is there too"
expect 0 rdr umount t
mount_rdr memory: -o control_dir=off
[ ! -e "$TEST_MNT/.minirdr" ] || fail "it is there"
mkdir "$TEST_MNT/.minirdr"
assert_eq "$(ls -A "$TEST_MNT")" .minirdr
