#!/usr/bin/env bash
# TIMEOUT: 40
# S-51, G3: pages written through a mapping, which a stop cannot get onto the server, are kept, and
# are the same bytes after the replay.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/unsent.sh"
need jq python3
mkdir "$TEST_DIR/back"
head -c 8192 /dev/zero >"$TEST_DIR/back/map"
mount_rdr "faulty:local:$TEST_DIR/back" -o write=hang-uncancellable#1
puppet mapper
ask_ok mapper open f rw "$TEST_MNT/map"
ask_ok mapper map f 8192
ask_ok mapper dirty f "through a mapping"
took_less 10 expect 13 rdr stop t --wait --deadline 1s --on-deadline cancel
assert_has "$out" "NOT saved: 1 file, 4.0 KiB" "map  4.0 KiB  " "[${puppet_pid[mapper]}]  kept in"
assert_eq "$(head -c 17 "$UNSENT/1.data")" "through a mapping"
assert_eq "$(head -c 17 "$TEST_DIR/back/map" | tr -d '\0')" ""
tell mapper quit
wait "${puppet_pid[mapper]}"
expect 0 rdr umount t
mount_rdr "local:$TEST_DIR/back"
expect 0 rdr unsent t --replay
assert_eq "$(head -c 17 "$TEST_DIR/back/map")" "through a mapping"
assert_eq "$(stat -c %s "$TEST_DIR/back/map")" 8192
