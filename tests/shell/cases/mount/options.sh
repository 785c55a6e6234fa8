#!/usr/bin/env bash
# TIMEOUT: 30
# S-21: set-id bits and device nodes mean nothing in a mount unless asked for; the options of
# mount(8) are taken.
. "$TEST_LIB/common.sh"
need_root
flags() { awk -v dir="$TEST_MNT" '$5 == dir { print $6 }' /proc/self/mountinfo; }
mount_rdr memory:
assert_has "$(flags)" rw nosuid nodev
expect 0 rdr umount t
mount_rdr memory: -o noexec,noatime -o suid,dev,x-anything=1,defaults,_netdev
assert_has "$(flags)" noexec noatime
assert_lacks "$(flags)" nosuid
assert_lacks "$(flags)" nodev
cp /bin/true "$TEST_MNT/true"
assert_errno "Permission denied" "$TEST_MNT/true"
