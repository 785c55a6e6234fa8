#!/usr/bin/env bash
# TIMEOUT: 30
# S-07: after a lazy unmount the daemon stays until the last handle goes, which works until then.
. "$TEST_LIB/common.sh"
need jq
need_root
mkdir "$TEST_DIR/back"
mount_rdr "local:$TEST_DIR/back"
pid=$(daemon_pid)
puppet holder
ask_ok holder open f c "$TEST_MNT/f"
umount -l "$TEST_MNT"
ask_ok holder write f hello
ask_ok holder close f
wait_until "the daemon has ended" ended "$pid"
assert_eq "$(cat "$TEST_DIR/back/f")" hello
