#!/usr/bin/env bash
# TIMEOUT: 40
# S-40: pages dirtied through a shared mapping reach the server though a stop came first (rule G3).
. "$TEST_LIB/common.sh"
need jq
mkdir "$TEST_DIR/back"
mount_rdr "local:$TEST_DIR/back"
puppet mapper
ask_ok mapper open f c "$TEST_MNT/f"
ask_ok mapper fill f 8192
ask_ok mapper map f 8192
ask_ok mapper dirty f "written through the mapping"
expect 10 rdr stop t --wait
ask_ok mapper unmap f
ask_ok mapper close f
arrived() { grep -q "written through the mapping" "$TEST_DIR/back/f"; }
wait_until "the pages are on the server" arrived
assert_eq "$(stat -c %s "$TEST_DIR/back/f")" 8192
