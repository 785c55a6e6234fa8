#!/usr/bin/env bash
# TIMEOUT: 30
# S-37: a stop and an umount that joined a stop which loses data end with 13 as that one does,
# though the mount, and with it the daemon, is gone by then.
. "$TEST_LIB/common.sh"
mount_rdr faulty:memory: -o write=hang-uncancellable
puppet writer
ask_ok writer open f c "$TEST_MNT/f"
tell writer write f text
running() { rdr requests t | grep -q write; }
wait_until "the write hangs" running
expect 0 rdr stop t --unmount
# Nobody may be inside when it is unmounted.
kill -9 "${puppet_pid[writer]}"
alone() { rdr status t | grep -q "stopping for .*, 1 request, 4 B unsent"; }
wait_until "the writer's handle is closed" alone
(code=0; rdr umount t >"$TEST_DIR/first" 2>&1 || code=$?; echo "$code" >>"$TEST_DIR/first") &
first=$!
joined() { grep -q "already stopping (ticket 2), waiting" "$TEST_DIR/first"; }
wait_until "the umount has joined" joined
expect 13 rdr stop t --wait --deadline 100ms --on-deadline cancel
assert_has "$out" "unmounted $TEST_MNT" "NOT saved: 1 file, 4 B"
wait "$first"
assert_has "$(<"$TEST_DIR/first")" "NOT saved: 1 file, 4 B" "unmounted $TEST_MNT"
assert_eq "$(tail -n 1 "$TEST_DIR/first")" 13
wait_until "nothing is left" is_gone
