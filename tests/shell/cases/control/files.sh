#!/usr/bin/env bash
# TIMEOUT: 30
# S-61, S-65: status and handles are texts that answer in every state; words written to control are
# commands.
. "$TEST_LIB/common.sh"
need jq
control=$TEST_MNT/.minirdr
mount_rdr memory:
puppet holder
ask_ok holder open f c "$TEST_MNT/held"
assert_has "$(cat "$control/status")" running
assert_has "$(cat "$control/handles")" held
echo pause >"$control/control"
is_state paused || fail "it was not paused"
assert_has "$(cat "$control/status")" paused
echo resume >"$control/control"
is_state running || fail "it was not resumed"
echo stop >"$control/control"
expect 10 rdr wait t
assert_has "$(cat "$control/status")" stopped
assert_has "$(cat "$control/handles")" held
ask_ok holder close f
echo start >"$control/control"
wait_until "it runs" is_state running
assert_errno "Invalid argument" bash -c "echo nonsense >'$control/control'"
is_state running || fail "nonsense changed it"
