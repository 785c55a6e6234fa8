#!/usr/bin/env bash
# TIMEOUT: 30
# S-47, S-35: umount takes the mount away and leaves a bind mount, stopped: the file that is open
# there is named, its close succeeds, and the daemon stays until the bind mount goes.
. "$TEST_LIB/common.sh"
need_root
need jq
mount_rdr memory:
pid=$(daemon_pid)
mkdir "$TEST_DIR/bind"
mount --bind "$TEST_MNT" "$TEST_DIR/bind"
puppet holder
ask_ok holder open f c "$TEST_DIR/bind/f"
expect 10 rdr umount t
assert_has "$out" "t: stopped, 1 handle still open" "unmounted $TEST_MNT" "holder["
ask_ok holder close f
closed() { [ "$(rdr status t --json | jq .mount.open_handles)" = 0 ]; }
wait_until "the handle is closed" closed
expect 0 rdr umount t
assert_has "$out" "mounted elsewhere still"
umount "$TEST_DIR/bind"
wait_until "the daemon has ended" ended "$pid"
