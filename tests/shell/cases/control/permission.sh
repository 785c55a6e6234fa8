#!/usr/bin/env bash
# TIMEOUT: 30
# S-61, S-66: only root and the mount's owner command it; others may look where the mount lets them.
. "$TEST_LIB/common.sh"
need_root
need setpriv jq
mount_rdr memory: -o allow_other
chmod 755 "$TEST_DIR/run"
assert_errno "Permission denied" user sh -c "echo stop >'$TEST_MNT/.minirdr/control'"
user cat "$TEST_MNT/.minirdr/status" >/dev/null
expect 5 user "$MINIRDR" stop t
assert_one_line "$err"
is_state running || fail "a user stopped it"
