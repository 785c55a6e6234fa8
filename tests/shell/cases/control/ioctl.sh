#!/usr/bin/env bash
# TIMEOUT: 40
# S-62, S-63: an ioctl on `control` from another process asks for a stop: it is answered pending
# (0x103) with a ticket, whose result can be read from `events`.
. "$TEST_LIB/common.sh"
need python3 jq
ioctl() { python3 "$TEST_LIB/ioctl.py" "$TEST_MNT/.minirdr/control" "$@"; }
mount_rdr faulty:memory: -o write=delay:1s
cat "$TEST_MNT/.minirdr/events" >"$TEST_DIR/events" &
puppet writer
ask_ok writer open f c "$TEST_MNT/f"
expect 0 ioctl stop 0x1
assert_eq "$out" "0x80000023 0" "a check: STATUS_REDIRECTOR_HAS_OPEN_HANDLES"
expect 0 ioctl stop 0x8
assert_eq "$out" "0x80000023 0" "only if idle, which it is not"
is_state running || fail "that changed something"
tell writer write f text
running() { rdr requests t | grep -q write; }
wait_until "the write is on its way" running
took_less 1 expect 0 ioctl stop
assert_eq "$out" "0x00000103 2" "status and ticket"
assert_errno "shutdown" touch "$TEST_MNT/new"
assert_eq "$(answer writer)" "ok 4"
result() { grep '"kind":"stopped"' "$TEST_DIR/events"; }
wait_until "the result is among the events" result
assert_eq "$(result | jq -r '"\(.ticket) \(.result)"')" "2 has_open_handles"
expect 0 ioctl query 0 2
assert_eq "$out" "0x80000023 2" "STATUS_REDIRECTOR_HAS_OPEN_HANDLES"
expect 0 ioctl stop
assert_has "$out" 0xc00000fb
ask_ok writer close f
expect 0 ioctl start
wait_until "it runs" is_state running
