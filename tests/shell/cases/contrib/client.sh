#!/usr/bin/env bash
# TIMEOUT: 60
# S-95: the example client: a status, a stop with each of its events, the events; it ends as minirdr
# does, also where it may not, where nobody listens and where the daemon goes away.
. "$TEST_LIB/common.sh"
need_root
need python3 jq
client=$TEST_LIB/../../../contrib/control_client.py
socket=$XDG_RUNTIME_DIR/minirdr/t.sock
ask_daemon() { python3 "$client" "$socket" "$@"; }
# As another user, once python has read all it needs: that may be where he cannot go.
ask_as_user() {
  python3 -c 'import json, os, socket, sys
program = open(sys.argv.pop(1)).read()
os.setgroups([]), os.setresgid(*[65534] * 3), os.setresuid(*[65534] * 3)
exec(program)' "$client" "$socket" "$@"
}

mount_rdr faulty:memory: -o write=delay:1s
chmod 755 "$XDG_RUNTIME_DIR"
expect 0 ask_daemon Status
assert_eq "$(jq -r .state <<<"$out")" started
expect 5 ask_as_user Stop
assert_has "$err" NotPermitted
expect 0 ask_as_user Status
expect 1 ask_daemon Stop '{"options": {"dead_line_s": 1}}'
assert_has "$err" InvalidParameter
expect 2 ask_daemon Stop '{"options":'
is_state running || fail "something was changed: $(state)"

ask_daemon Events >"$TEST_DIR/events" 2>"$TEST_DIR/events.err" &
follower=$!
puppet writer
ask_ok writer open f c "$TEST_MNT/f"
tell writer write f text
running() { rdr requests t | grep -q write; }
wait_until "the write is on its way" running
expect 10 ask_daemon Stop '{"options": {"reason": "an example"}}'
assert_eq "$(head -n 1 <<<"$out" | jq -c '[.status, .ticket]')" "[259,2]" "pending, first"
kinds=$(jq -r 'select(.event).event.kind | select(. != "save_config")' <<<"$out" | tr '\n' ' ')
assert_has "$kinds" "stop_requested " "sealed redirector_stopped survivors"
assert_has "$kinds" "dispatcher_spun_down stopped "
assert_eq "$(tail -n 1 <<<"$out" | jq -r .report.result)" has_open_handles "the report, last"
assert_eq "$(jq -s '[.[] | select(.report)] | length' <<<"$out")" 1 reports
ask_ok writer close f
expect 0 ask_daemon Stop
assert_eq "$(jq -r .report.result <<<"$out")" already_stopped "at once, in one reply"
expect 0 ask_daemon Start
kinds() { jq -s -e '[.[].events[].kind] | '"$1" "$TEST_DIR/events"; }
wait_until "the follower saw both" kinds 'index("stopped") < rindex("started")'

kill -9 "$(daemon_pid)"
expect 4 wait "$follower"
assert_has "$(<"$TEST_DIR/events.err")" "went away"
expect 3 ask_daemon Status
umount "$TEST_MNT"
