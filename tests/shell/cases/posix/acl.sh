#!/usr/bin/env bash
# TIMEOUT: 60
# S-149: access control lists are obeyed, go with the mode, and a default one replaces the umask.
. "$TEST_LIB/common.sh"
need_root; need python3
each_options=allow_other
body() {
  python3 - <<'PYTHON'
import errno, os
from calls import acl, as_user, make, refused
A, B, G = 1111, 2222, 4444
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
UO, U, GO, M, O = 1, 2, 4, 16, 32
def bits(name):
    return os.stat(name).st_mode & 0o7777
def read(name):
    return lambda: os.close(os.open(name, os.O_RDONLY))
with open("f", "w") as file:
    file.write("x")
os.chown("f", 0, G)
os.chmod("f", 0o640)
assert as_user(A, [], read("f")) == errno.EACCES
named = acl((UO, 6, -1), (U, 4, A), (GO, 0, -1), (M, 4, -1), (O, 0, -1))
os.setxattr("f", ACCESS, named)
assert os.getxattr("f", ACCESS) == named and bits("f") == 0o640
assert as_user(A, [], read("f")) == 0 and as_user(B, [], read("f")) == errno.EACCES
assert as_user(B, [G], read("f")) == errno.EACCES, "the mask is not the group's permission"
assert ACCESS in os.listxattr("f")
os.chmod("f", 0o600)
assert os.getxattr("f", ACCESS)[4 + 3 * 8 + 2] == 0, "chmod sets the mask"
assert as_user(A, [], read("f")) == errno.EACCES
os.removexattr("f", ACCESS)
refused(errno.ENODATA, os.getxattr, "f", ACCESS)
os.setxattr("f", ACCESS, acl((UO, 6, -1), (GO, 4, -1), (O, 4, -1)))
assert bits("f") == 0o644
refused(errno.ENODATA, os.getxattr, "f", ACCESS)
refused(errno.EINVAL, os.setxattr, "f", ACCESS, b"\2\0\0\0nonsense")
refused(errno.EACCES, os.setxattr, "f", DEFAULT, named)
assert as_user(A, [], lambda: os.setxattr("f", ACCESS, named)) == errno.EPERM
os.mkdir("d")
os.setxattr("d", DEFAULT, acl((UO, 7, -1), (U, 7, A), (GO, 5, -1), (M, 7, -1), (O, 1, -1)))
os.umask(0o077)
make("d/f")
os.mkdir("d/sub")
os.mknod("d/p", 0o10666)
os.symlink("x", "d/l")
assert (bits("d/f"), bits("d/p"), bits("d/sub")) == (0o660, 0o660, 0o771), "no umask there"
assert os.getxattr("d/sub", DEFAULT) == os.getxattr("d", DEFAULT)
assert as_user(A, [], read("d/f")) == 0
os.removexattr("d", DEFAULT)
make("d/g")
assert bits("d/g") == 0o600
os.chown("f", A, G)
os.chmod("f", 0o2755)
as_user(A, [], lambda: os.setxattr("f", ACCESS, named))
assert bits("f") == 0o640, "who is not in the group sets no set-group-id file"
PYTHON
}
each_source body
