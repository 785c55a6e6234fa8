#!/usr/bin/env bash
# TIMEOUT: 30
# S-61, S-66: only root and the mount's owner command it; others may look where the mount lets them.
. "$TEST_LIB/common.sh"
need_root && need setpriv jq
mount_rdr memory: -o allow_other
chmod 755 "$TEST_DIR/run"
stranger() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
assert_errno "Permission denied" stranger sh -c "echo stop >'$TEST_MNT/.minirdr/control'"
stranger cat "$TEST_MNT/.minirdr/status" >/dev/null
expect 5 stranger "$MINIRDR" stop t
assert_one_line "$err"
is_state running || fail "a stranger stopped it"
