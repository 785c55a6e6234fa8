#!/usr/bin/env bash
# TIMEOUT: 40
# S-16: extended attributes of users: set, read, list, replace, remove.
. "$TEST_LIB/common.sh"
need python3
body() {
  python3 - <<'PYTHON'
import errno, os
def refused(code, action, *words):
    try:
        action(*words)
    except OSError as error:
        assert error.errno == code, (words, error)
    else:
        raise AssertionError(words)
open("f", "w").close()
assert os.listxattr("f") == []
os.setxattr("f", "user.a", b"1")
os.setxattr("f", "user.b", b"\0binary\xff")
refused(errno.EEXIST, os.setxattr, "f", "user.a", b"2", os.XATTR_CREATE)
refused(errno.ENODATA, os.setxattr, "f", "user.c", b"2", os.XATTR_REPLACE)
os.setxattr("f", "user.a", b"22", os.XATTR_REPLACE)
assert sorted(os.listxattr("f")) == ["user.a", "user.b"]
assert (os.getxattr("f", "user.a"), os.getxattr("f", "user.b")) == (b"22", b"\0binary\xff")
os.removexattr("f", "user.a")
refused(errno.ENODATA, os.getxattr, "f", "user.a")
refused(errno.ENODATA, os.removexattr, "f", "user.a")
assert os.listxattr("f") == ["user.b"]
PYTHON
}
each_source body
