#!/usr/bin/env bash
# TIMEOUT: 30
# S-61: what was written to control can be asked for its answer on the same descriptor.
. "$TEST_LIB/common.sh"
mount_rdr memory:
exec 5<>"$TEST_MNT/.minirdr/control"
echo "stop --check" >&5
read -r -t 10 line <&5
assert_has "$line" "would wait for 0 handles"
echo pause >&5
read -r -t 10 line <&5
assert_has "$line" paused
exec 5>&-
expect 0 rdr resume t
