#!/usr/bin/env bash
# TIMEOUT: 30
# S-47: umount --lazy takes the mount away although somebody is inside; the daemon says that it is
# not mounted any more, which handle survives, and that it cannot be started again.
. "$TEST_LIB/common.sh"
need jq
need_root
mount_rdr memory:
pid=$(daemon_pid)
puppet holder
ask_ok holder open f c "$TEST_MNT/f"
assert_eq "$(rdr status t --json | jq .mount.mounted)" true
expect 10 rdr umount t --lazy
is_mounted "$TEST_MNT" && fail "it is in the namespace still"
assert_eq "$(rdr status t --json | jq -c '.mount | [.mounted, .survivors, .defects_total]')" \
  "[false,1,0]"
expect 0 rdr list
assert_has "$out" "($TEST_MNT)"
expect 1 rdr start t
assert_has "$err" "mount point is gone"
ask_ok holder close f
wait_until "the daemon has ended" ended "$pid"
