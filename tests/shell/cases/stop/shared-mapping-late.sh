#!/usr/bin/env bash
# TIMEOUT: 40
# S-40: so do pages dirtied after the stop, through a mapping made before it.
. "$TEST_LIB/common.sh"
need jq
mkdir "$TEST_DIR/back"
mount_rdr "local:$TEST_DIR/back"
puppet mapper
ask_ok mapper open f c "$TEST_MNT/f"
ask_ok mapper fill f 8192
ask_ok mapper map f 8192
ask_ok mapper dirty f "before the stop"
expect 10 rdr stop t --wait
ask_ok mapper dirty f "after the stop "
ask_ok mapper sync f
assert_eq "$(head -c 15 "$TEST_DIR/back/f")" "after the stop "
ask_ok mapper unmap f
ask_ok mapper close f
