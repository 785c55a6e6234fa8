#!/usr/bin/env bash
# TIMEOUT: 30
# S-22: a server that is full says so, df shows it, and what is removed is free again.
. "$TEST_LIB/common.sh"
mount_rdr memory: -o size=1M
assert_eq "$(df --output=size -B1 "$TEST_MNT" | tail -n 1 | tr -d ' ')" 1048576
assert_errno "No space left on device" dd if=/dev/zero of="$TEST_MNT/f" bs=64k count=32
assert_eq "$(df --output=avail -B1 "$TEST_MNT" | tail -n 1 | tr -d ' ')" 0
rm "$TEST_MNT/f"
dd if=/dev/zero of="$TEST_MNT/g" bs=64k count=15 status=none
cmp -n 983040 "$TEST_MNT/g" /dev/zero
