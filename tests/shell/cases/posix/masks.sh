#!/usr/bin/env bash
# TIMEOUT: 40
# S-154: permissions that nothing has, and what of a mapping makes no sense.
. "$TEST_LIB/common.sh"
need_root; need python3
export BACK="$TEST_DIR/back"
mkdir "$BACK" && chmod 777 "$BACK"
touch "$BACK/f" && chmod 666 "$BACK/f"
mount_rdr "local:$BACK" -o umask=027,fmask=0137
(cd "$TEST_MNT" && python3 -) <<'PYTHON'
import os
from calls import acl, make
BACK = os.environ["BACK"] + "/"
def bits(name):
    return os.stat(name).st_mode & 0o7777
assert bits("f") == 0o640 and bits(".") == 0o750 and bits(BACK) == 0o777
os.umask(0)
make("new", 0o777), os.mkdir("d", 0o777)
assert (bits(BACK + "new"), bits(BACK + "d")) == (0o640, 0o750)
os.chmod("new", 0o4777)
assert bits("new") == bits(BACK + "new") == 0o4640
os.setxattr("f", "system.posix_acl_access", acl((1, 7, -1), (4, 7, -1), (32, 7, -1)))
assert bits(BACK + "f") == 0o640
PYTHON
expect 0 rdr umount "$NAME"
for wrong in uid=carol:name gid=-1:name map=a:FROM/TO map=1/2,map=1/3:once umask=8:octal; do
  expect 2 rdr mount memory: "$TEST_MNT" -o "${wrong%%:*}"
  assert_one_line "$err"
  assert_has "$err" "${wrong#*:}"
done
is_gone || fail "something is left"
