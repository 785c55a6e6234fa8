#!/usr/bin/env bash
# TIMEOUT: 60
# S-90, S-91, S-66, S-94: members of the group, by a supplementary group, may stop, start and see
# paths, on the socket and by file; others may not; what the mount changes of that counts.
. "$TEST_LIB/common.sh"
need_root
need setpriv jq
member() { setpriv --reuid 65534 --regid 65534 --groups 54321 "$@"; }
expect 2 rdr mount memory: "$TEST_MNT" --name t -o control_group=no-such-group
assert_one_line "$err"
assert_has "$err" 'option control_group: there is no group named "no-such-group"'
expect 2 rdr mount memory: "$TEST_MNT" --name t -o control_deny=group:stop
assert_one_line "$err"
chmod 755 "$TEST_DIR/run"
mount_rdr memory: -o allow_other,control_group=54321 -o control_deny=group:pause \
  -o control_allow=other:resume
assert_has "$(<"$TEST_DIR/daemon.log")" "control_allow=other:resume: more is allowed"
expect 0 rdr status t
assert_has "$out" "control_group=54321" "control_deny=group:pause" "(gid 54321)"
assert_eq "$(rdr status t --json | jq .mount.control_gid)" 54321
echo content >"$TEST_MNT/secret"
puppet holder
ask_ok holder open f r "$TEST_MNT/secret"
assert_has "$(member "$MINIRDR" handles t)" secret
assert_lacks "$(user "$MINIRDR" handles t)" secret
assert_has "$(member cat "$TEST_MNT/.minirdr/handles")" secret
assert_lacks "$(user cat "$TEST_MNT/.minirdr/handles")" secret
ask_ok holder close f
expect 5 user "$MINIRDR" stop t
assert_has "$err" "only root, its owner and its group may"
expect 5 member "$MINIRDR" stop t --mode abort
expect 5 member "$MINIRDR" pause t
is_state running || fail "something changed it"
expect 0 member "$MINIRDR" stop t --wait
expect 0 member "$MINIRDR" start t
expect 0 user "$MINIRDR" resume t
assert_errno "Permission denied" user sh -c "echo stop >'$TEST_MNT/.minirdr/control'"
expect 1 member sh -c "echo pause >'$TEST_MNT/.minirdr/control'"
is_state running || fail "it is $(state)"
expect 0 member sh -c "echo stop >'$TEST_MNT/.minirdr/control'"
expect 0 rdr wait t --for stopped
expect 0 member sh -c "echo start >'$TEST_MNT/.minirdr/control'"
expect 0 rdr wait t --for running
