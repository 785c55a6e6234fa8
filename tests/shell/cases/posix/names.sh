#!/usr/bin/env bash
# TIMEOUT: 60
# S-147: names of any bytes and of 255, and trees deeper than a path can say.
. "$TEST_LIB/common.sh"
need python3
body() {
  python3 - <<'PYTHON'
import errno, os
from calls import refused
os.mkdir("bytes")
names = {bytes([byte]) for byte in range(1, 256) if byte not in b"/."}
names |= {b"\xff\xfe", b"a\nb", b"n" * 255, b"\xc3" * 255, b"..."}
for name in names:
    os.close(os.open(b"bytes/" + name, os.O_CREAT | os.O_EXCL, 0o600))
assert set(os.listdir(b"bytes")) == names
for name in names:
    os.stat(b"bytes/" + name)
refused(errno.ENAMETOOLONG, os.mkdir, b"n" * 256)
refused(errno.ENAMETOOLONG, os.stat, b"n" * 256)
refused(errno.ENAMETOOLONG, os.rename, b"bytes", b"n" * 256)
PART, DEPTH = b"d" * 250, 24
way = [os.open(".", os.O_RDONLY)]
for _ in range(DEPTH):
    os.mkdir(PART, dir_fd=way[-1])
    way.append(os.open(PART, os.O_RDONLY, dir_fd=way[-1]))
fd = os.open(b"bottom", os.O_CREAT | os.O_RDWR, dir_fd=way[-1])
assert os.write(fd, b"deep") == 4
refused(errno.ENAMETOOLONG, os.stat, b"/".join([PART] * DEPTH) + b"/bottom")
assert os.stat(b"bottom", dir_fd=way[-1]).st_size == 4
os.fchdir(way[-1])
with open("bottom") as file:
    assert file.read() == "deep"
os.link("bottom", "second")
os.rename("second", "third")
os.symlink("bottom", "link")
assert sorted(os.listdir(".")) == ["bottom", "link", "third"]
os.rename("third", "up", dst_dir_fd=way[0])
os.unlink("bottom"), os.unlink("link")
os.fchdir(way[0])
with open("up") as file:
    assert file.read() == "deep"
for above in reversed(way[:-1]):
    os.rmdir(PART, dir_fd=above)
PYTHON
}
each_source body
