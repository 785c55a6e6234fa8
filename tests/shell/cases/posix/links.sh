#!/usr/bin/env bash
# TIMEOUT: 40
# S-140: hard links are one file: one number, one content, one mode, whichever name is used.
. "$TEST_LIB/common.sh"
need python3
body() {
  python3 - <<'PYTHON'
import errno, os
from calls import make, refused
os.mkdir("d")
with open("f", "w") as file:
    file.write("x")
number = os.stat("f").st_ino
for name in range(200):
    os.link("f", f"d/{name}")
assert {os.stat(f"d/{name}").st_ino for name in range(200)} == {number}
assert {entry.inode() for entry in os.scandir("d")} == {number}
assert os.stat("d/5").st_nlink == 201
held = os.open("d/7", os.O_RDWR)
os.write(held, b"same")
with open("f") as file:
    assert file.read() == "same" and os.fstat(held).st_ino == number
os.chmod("d/9", 0o640)
assert os.stat("f").st_mode & 0o777 == 0o640
os.rename("d/7", "d/8")
assert os.stat("d/7").st_ino == number, "two names of one file: nothing happens"
refused(errno.EEXIST, os.link, "f", "d/1")
for name in range(200):
    os.unlink(f"d/{name}")
assert os.fstat(held).st_nlink == 1
os.rename("f", "elsewhere")
assert os.stat("elsewhere").st_ino == number
os.unlink("elsewhere")
assert os.fstat(held).st_nlink == 0 and os.fstat(held).st_ino == number
refused(errno.EPERM, os.link, "d", "e")
os.symlink("nowhere", "l")
os.link("l", "m", follow_symlinks=False)
assert os.lstat("l").st_ino == os.lstat("m").st_ino and os.readlink("m") == "nowhere"
PYTHON
}
each_source body
