#!/usr/bin/env bash
# TIMEOUT: 30
# S-49, S-63: a reader of events waits for the next one, poll tells when there is one, and a reader
# that waits can be killed.
. "$TEST_LIB/common.sh"
need jq
mount_rdr memory:
events=$TEST_MNT/.minirdr/events
cat "$events" >"$TEST_DIR/events" &
reader=$!
wait_until "the first event is there" grep -q started "$TEST_DIR/events"
puppet poller
ask_ok poller open e r "$events"
assert_eq "$(ask poller poll e 5)" "ok readable"
# One line a read: of the start, and of the record that is kept.
ask_ok poller read e 200
ask_ok poller read e 200
assert_eq "$(ask poller poll e 0)" "ok nothing"
tell poller poll e 15
expect 0 rdr pause t
assert_eq "$(answer poller)" "ok readable"
wait_until "the pause is told" grep -q paused "$TEST_DIR/events"
jq -e .seq <"$TEST_DIR/events" >/dev/null
kill -9 "$reader"
took_less 2 expect 137 wait "$reader"
# A stop does not wait for those who read its events (rule G5).
ask_ok poller read e 100000
tell poller read e 100000
took_less 5 expect 0 rdr stop t --wait
case "$(answer poller)" in ok*) ;; *) fail "the reader was cut off" ;; esac
