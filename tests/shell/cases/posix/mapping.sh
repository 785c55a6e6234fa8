#!/usr/bin/env bash
# TIMEOUT: 60
# S-152: all files are shown as one user's. S-153: users and groups in pairs, both ways.
. "$TEST_LIB/common.sh"
need_root; need python3
export BACK="$TEST_DIR/back"
mapped() { # mapped OPTIONS, and the checks on stdin
  rm -rf "$BACK" && mkdir "$BACK" && chmod 777 "$BACK"
  (cd "$BACK" && touch f g && chown 1000:50 f && chown 2000:100 g && chmod 640 f g)
  mount_rdr "local:$BACK" -o "allow_other,attr_timeout=0,$1"
  (cd "$TEST_MNT" && { cat "$TEST_DIR/head" -; } | python3 -)
  expect 0 rdr umount "$NAME"
}
cat >"$TEST_DIR/head" <<'PYTHON'
import errno, os
from calls import acl, as_user, make, refused
BACK = os.environ["BACK"] + "/"
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
def owner(name):
    return os.stat(name).st_uid, os.stat(name).st_gid
def bits(name):
    return os.stat(name).st_mode & 0o7777
PYTHON
mapped uid=1000,gid=7 <<'PYTHON'
assert owner("f") == owner("g") == (1000, 7)
assert as_user(2000, [], lambda: open("g").close()) == errno.EACCES
assert as_user(1000, [], lambda: open("g", "a").close()) == 0
assert as_user(2000, [], lambda: make("new")) == 0
assert owner("new") == (1000, 7) and owner(BACK + "new") == (2000, 2000)
os.chown("g", 1000, 7)
refused(errno.EPERM, os.chown, "g", 2000, -1)
assert owner(BACK + "g") == (2000, 100)
assert as_user(1000, [], lambda: os.chmod("g", 0o4755)) == errno.EPERM
assert as_user(1000, [], lambda: os.chmod("g", 0o700)) == 0 and bits(BACK + "g") == 0o700
os.setxattr("f", ACCESS, acl((1, 6, -1), (2, 4, 3000), (4, 0, -1), (16, 4, -1), (32, 0, -1)))
assert as_user(3000, [], lambda: open("f").close()) == 0
PYTHON
mapped map=1000/2000:@50/@60:3000-3009/5000 <<'PYTHON'
assert owner("f") == (2000, 60) and owner("g") == (65534, 100), "the server's 2000 is not ours"
assert as_user(2000, [], lambda: open("f").close()) == 0
for who in (2000, 1000, 65534):
    assert as_user(who, [], lambda: open("g").close()) == errno.EACCES, who
refused(errno.EACCES, open, "g", "w")
assert as_user(1000, [], lambda: make("new")) == errno.EOVERFLOW
assert as_user(2000, [], lambda: make("new")) == 0
assert owner("new") == (2000, 2000) and owner(BACK + "new") == (1000, 2000)
os.chown("new", 5009, 60)
assert owner("new") == (5009, 60) and owner(BACK + "new") == (3009, 50)
refused(errno.EINVAL, os.chown, "new", 3009, -1)
def named(user):
    return acl((1, 6, -1), (2, 4, user), (4, 0, -1), (16, 4, -1), (32, 0, -1))
os.setxattr("new", ACCESS, named(2000))
assert os.getxattr("new", ACCESS) == named(2000)
assert os.getxattr(BACK + "new", ACCESS) == named(1000)
assert as_user(2000, [], lambda: open("new").close()) == 0
refused(errno.EINVAL, os.setxattr, "new", ACCESS, named(1000))
os.setxattr(BACK + "f", ACCESS, named(2000))
assert os.getxattr("f", ACCESS) == named(0xFFFFFFFE), "somebody, and nobody here"
PYTHON
