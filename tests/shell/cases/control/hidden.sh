#!/usr/bin/env bash
# TIMEOUT: 30
# S-60: the control directory is found by its name and never listed.
. "$TEST_LIB/common.sh"
mount_rdr memory:
touch "$TEST_MNT/f"
assert_eq "$(ls -A "$TEST_MNT")" f
assert_eq "$(find "$TEST_MNT" -mindepth 1)" "$TEST_MNT/f"
assert_eq "$(ls "$TEST_MNT/.minirdr" | sort | tr '\n' ' ')" "control events handles status "
assert_eq "$(stat -c %a "$TEST_MNT/.minirdr/control")" 600
run mkdir "$TEST_MNT/.minirdr"
assert_has "$err" "File exists"
run rm -r "$TEST_MNT/.minirdr/control"
[ "$code" != 0 ] || fail "a control file was removed"
run mv "$TEST_MNT/f" "$TEST_MNT/.minirdr/f"
[ "$code" != 0 ] || fail "a file was moved there"
assert_eq "$(ls -A "$TEST_MNT")" f
