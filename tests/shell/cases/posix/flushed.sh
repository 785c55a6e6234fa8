#!/usr/bin/env bash
# TIMEOUT: 40
# S-19: what close or fsync has acknowledged is on the server, though the daemon be killed.
. "$TEST_LIB/common.sh"
need jq
mkdir "$TEST_DIR/back"
mount_rdr "local:$TEST_DIR/back"
puppet writer
ask_ok writer open f c "$TEST_MNT/f"
ask_ok writer write f synced
ask_ok writer fsync f
head -c 300000 /dev/urandom >"$TEST_DIR/data"
cp "$TEST_DIR/data" "$TEST_MNT/g"
pid=$(daemon_pid)
kill -9 "$pid"
wait_until "it is gone" ended "$pid"
assert_eq "$(cat "$TEST_DIR/back/f")" synced
cmp "$TEST_DIR/data" "$TEST_DIR/back/g"
umount -l "$TEST_MNT" || fusermount3 -u -z "$TEST_MNT"
