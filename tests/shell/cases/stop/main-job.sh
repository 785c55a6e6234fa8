#!/usr/bin/env bash
# TIMEOUT: 60
# S-30, S-31, S-32, S-34, S-35, S-38: the whole of it, with a file held open by one program
# and another written by a second.
. "$TEST_LIB/common.sh"
need jq
mkdir "$TEST_DIR/back"
echo "what was there" >"$TEST_DIR/back/held"
mount_rdr "faulty:local:$TEST_DIR/back" -o write=delay:2s
puppet holder
puppet writer
ask_ok holder open f r "$TEST_MNT/held"
ask_ok writer open f c "$TEST_MNT/written"
tell writer write f all of it
running() { rdr requests t | grep -q write; }
wait_until "the write is on its way" running
took_less 1 expect 0 rdr stop t
assert_has "$out" "t: stop accepted, pending (ticket 2)" "holder[" "writer[" held written
assert_errno "Cannot send after transport endpoint shutdown" cat "$TEST_MNT/held"
assert_errno "Cannot send after transport endpoint shutdown" touch "$TEST_MNT/new"
assert_eq "$(answer writer)" "ok 9"
expect 10 rdr wait t
assert_has "$out" "t: stopped, 2 handles still open, nothing unsent, still mounted" held written
assert_eq "$(cat "$TEST_DIR/back/written")" "all of it"
ask_error holder ESHUTDOWN read f 5
ask_ok holder close f
ask_ok writer close f
expect 0 rdr start t
assert_has "$out" "t: running (same mount"
assert_eq "$(cat "$TEST_MNT/written")" "all of it"
