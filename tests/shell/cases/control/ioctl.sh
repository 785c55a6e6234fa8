#!/usr/bin/env bash
# TIMEOUT: 40
# S-62, S-63: an ioctl on `control` from another process asks for a stop: it is answered pending
# (0x103) with a ticket, whose result can be read from `events`.
. "$TEST_LIB/common.sh"
need python3 jq
ioctl() { python3 "$TEST_LIB/ioctl.py" "$TEST_MNT/.minirdr/control" "$@"; }
mount_rdr faulty:memory: -o write=delay:1s
puppet writer
ask_ok writer open f c "$TEST_MNT/f"
tell writer write f text
running() { rdr requests t | grep -q write; }
wait_until "the write is on its way" running
took_less 1 expect 0 ioctl stop
assert_eq "$out" "0x00000103 2" "status and ticket"
assert_errno "shutdown" touch "$TEST_MNT/new"
assert_eq "$(answer writer)" "ok 4"
result() { timeout 5 head -n 50 "$TEST_MNT/.minirdr/events" | grep '"stopped"'; }
told() { result | grep -q has_open_handles; }
wait_until "the result is among the events" told
assert_eq "$(result | jq .ticket)" 2
expect 0 ioctl query 0 2
assert_eq "$out" "0x80000023 2" "STATUS_REDIRECTOR_HAS_OPEN_HANDLES"
expect 0 ioctl stop
assert_has "$out" 0xc00000fb
ask_ok writer close f
expect 0 ioctl start
wait_until "it runs" is_state running
