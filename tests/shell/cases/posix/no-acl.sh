#!/usr/bin/env bash
# TIMEOUT: 40
# S-149, S-150: where the server has no access control lists, the mode alone says who may.
. "$TEST_LIB/common.sh"
need_root
need setpriv
mkdir "$TEST_DIR/back"
mount -t ramfs none "$TEST_DIR/back" || skip "needs ramfs"
trap 'umount -l "$TEST_DIR/back"; finish' EXIT
chmod 755 "$TEST_DIR/back"
mount_rdr "local:$TEST_DIR/back" -o allow_other
echo x >"$TEST_MNT/f"
chmod 640 "$TEST_MNT/f"
assert_errno "Permission denied" user cat "$TEST_MNT/f"
chgrp 65534 "$TEST_MNT/f"
assert_eq "$(user cat "$TEST_MNT/f")" x
user cat "$TEST_MNT/.minirdr/status" >/dev/null
expect 0 rdr stop t --wait
user cat "$TEST_MNT/.minirdr/status" >/dev/null
expect 0 rdr start t
expect 0 rdr umount t
