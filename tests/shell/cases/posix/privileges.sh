#!/usr/bin/env bash
# TIMEOUT: 60
# S-15, S-145: set-id bits and capabilities end with a change of content or owner, as natively.
. "$TEST_LIB/common.sh"
need_root; need python3
each_options=allow_other
body() {
  python3 - <<'PYTHON'
import errno, os, struct
from calls import as_user, refused
U, S = 1111, 3333
CAPABILITY = struct.pack("<IIIII", 0x02000001, 0x2000, 0, 0, 0)
def write():
    fd = os.open("f", os.O_WRONLY)
    os.write(fd, b"y")
def allocate():
    os.posix_fallocate(os.open("f", os.O_RDWR), 0, 200)
def copy():
    fd = os.open("f", os.O_RDWR)
    assert os.copy_file_range(fd, fd, 10, 0, 50) == 10
def mode():
    return os.fstat(os.open("f", os.O_RDONLY)).st_mode & 0o7777
def fresh(mode, capable):
    fd = os.open("f", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b"x" * 100)
    os.close(fd)
    os.chown("f", U, U)
    os.chmod("f", mode)
    if capable:
        os.setxattr("f", "security.capability", CAPABILITY)
changes = {
    "write": write, "fallocate": allocate, "copy": copy,
    "truncate": lambda: os.truncate("f", 5),
    "open": lambda: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)),
    "chown": lambda: os.chown("f", -1, U), "chown to nobody": lambda: os.chown("f", -1, -1),
}
for what, change in changes.items():
    for before, after in ((0o6777, 0o777), (0o6767, 0o2767), (0o4711, 0o711)):
        for user in (U, 0):
            fresh(before, False)
            assert as_user(user, [], change) == 0, what
            kept = user == 0 and not what.startswith("chown")
            assert mode() == (before if kept else after), (what, user, oct(before), oct(mode()))
    fresh(0o755, True)
    assert as_user(0, [], change) == 0, what
    refused(errno.ENODATA, os.getxattr, "f", "security.capability")
fresh(0o4755, False)
as_user(S, [], changes["chown to nobody"])
assert mode() == 0o4755, "a stranger takes nothing away"
PYTHON
}
each_source body
