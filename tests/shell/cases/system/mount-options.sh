#!/usr/bin/env bash
# TIMEOUT: 60
# S-162: mount.minirdr takes what mount(8) and fstab say, refuses what nobody knows with its place,
# in one line and with nothing left behind, and findmnt shows what is so.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
refused() { # refused CODE TEXT OPTIONS [FLAG...] : and nothing is mounted
  local code=$1 text=$2 options=$3
  shift 3
  expect "$code" mount "$@" -t minirdr -o "name=t,$options" memory: "$TEST_MNT"
  assert_has "$err" "mount.minirdr: " "$text"
  assert_one_line "$err"
  is_gone || fail "something was left behind"
  assert_eq "$(utab)" ""
}
refused 2 'unknown option "frob"' rw,noatime,frob
assert_has "$err" "(word 4 of 4 of -o)"
refused 2 "option entry_timeout: needs a value" entry_timeout
refused 2 "option credentials: no mini-redirector there is takes any" credentials=/etc/passwd
assert_lacks "$err" /etc/passwd
expect 2 mount.minirdr memory: "$TEST_MNT" -t fuse.sshfs
assert_has "$err" "-t fuse.sshfs: the type can only be"
expect 2 mount -t minirdr nfs:/x "$TEST_MNT"
assert_has "$err" "unknown scheme" "memory:, local:DIR"
expect 32 mount -t minirdr "local:$TEST_DIR/none" "$TEST_MNT"
assert_has "$err" "No such file or directory"
assert_one_line "$err"

say "-s leaves it out, -f only looks, -v tells"
expect 0 mount -s -v -t minirdr -o name=t,frob=1 memory: "$TEST_MNT"
assert_has "$err" "option frob is unknown, and left out"
assert_has "$out" "t: memory: mounted on $TEST_MNT"
expect 2 mount -o remount,ro "$TEST_MNT"
assert_has "$err" "option remount: a mount of minirdr cannot be remounted"
expect 0 umount "$TEST_MNT"
expect 0 mount.minirdr memory: "$TEST_MNT" -f -v -o name=t
assert_has "$out" "not really"
is_gone || fail "-f has mounted it"
expect 2 mount.minirdr memory: "$TEST_MNT" -f -o frob

say "what findmnt shows is so"
options=ro,noexec,nosuid,nodev,noatime,nosymfollow,allow_other,sync,dirsync
expect 0 mount -t fuse.minirdr -o "name=t,nofail,comment=x,$options,x-y=1" memory: "$TEST_MNT"
shown=$(findmnt -no FSTYPE,OPTIONS "$TEST_MNT")
for word in fuse.minirdr ${options//,/ }; do assert_has "$shown" "$word"; done
assert_errno "Read-only" touch "$TEST_MNT/f"
expect 0 umount "$TEST_MNT"
