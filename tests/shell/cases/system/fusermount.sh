#!/usr/bin/env bash
# TIMEOUT: 60
# S-161: fusermount3 -u and -uz run no helper: the daemon notices, finishes what it owes and goes,
# and libmount forgets it; detached it is listed as such until the last handle goes.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
mkdir "$TEST_DIR/back"
line noauto,user
puppet holder
over() {
  wait_until "the daemon has ended" ended "$pid"
  wait_until "its socket is gone" socket_gone
  assert_eq "$(utab)" "" "what libmount knows"
}
expect 0 mount "$TEST_MNT"
pid=$(daemon_pid)
echo hello >"$TEST_MNT/f"
expect 0 fusermount3 -u "$TEST_MNT"
over
assert_eq "$(cat "$TEST_DIR/back/f")" hello
expect 0 mount "$TEST_MNT"
pid=$(daemon_pid)
ask_ok holder open f c "$TEST_MNT/held"
expect 0 fusermount3 -u -z "$TEST_MNT"
is_mounted "$TEST_MNT" && fail "still in the namespace"
expect 0 rdr list
assert_has "$out" "($TEST_MNT)"
ask_ok holder write f text
ask_ok holder close f
over
assert_eq "$(cat "$TEST_DIR/back/held")" text
say "a signal"
expect 0 mount "$TEST_MNT"
pid=$(daemon_pid)
kill "$pid"
over
