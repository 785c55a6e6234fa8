#!/usr/bin/env bash
# TIMEOUT: 40
# S-142: a shared mapping, reads, writes and other programs' mappings are of one piece.
. "$TEST_LIB/common.sh"
need python3
body() {
  python3 - <<'PYTHON'
import mmap, os, subprocess, sys
PAGE = 4096
a = os.open("f", os.O_RDWR | os.O_CREAT, 0o600)
os.ftruncate(a, 8 * PAGE)
b = os.open("f", os.O_RDWR)
one, two = mmap.mmap(a, 8 * PAGE), mmap.mmap(b, 8 * PAGE)
one[100:105] = b"hello"
assert two[100:105] == b"hello" and os.pread(b, 5, 100) == b"hello"
os.pwrite(b, b"world", 3 * PAGE - 2)
assert one[3 * PAGE - 2:3 * PAGE + 3] == b"world"
OTHER = """
import mmap, os
fd = os.open("f", os.O_RDWR)
mapped = mmap.mmap(fd, 8 * 4096)
assert mapped[100:105] == b"hello" and os.pread(fd, 5, 3 * 4096 - 2) == b"world"
mapped[200:205], mapped[7 * 4096] = b"other", 33
"""
assert subprocess.run([sys.executable, "-c", OTHER]).returncode == 0
assert one[200:205] == b"other" and os.pread(a, 1, 7 * PAGE) == b"!"
private = mmap.mmap(a, PAGE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
private[0:4] = b"mine"
assert os.pread(a, 4, 0) == b"\0" * 4
os.ftruncate(a, 2 * PAGE + 10)
assert one[2 * PAGE:2 * PAGE + 20] == b"\0" * 20
os.ftruncate(a, 8 * PAGE)
assert one[3 * PAGE:3 * PAGE + 3] == b"\0\0\0", "what was cut off does not come back"
one[2 * PAGE + 5:2 * PAGE + 8] = b"end"
one.flush()
one.close(), two.close(), private.close(), os.close(a), os.close(b)
with open("f", "rb") as file:
    assert file.read()[2 * PAGE + 5:2 * PAGE + 8] == b"end"
os.rename("f", "g")
fd = os.open("g", os.O_RDWR)
mapped = mmap.mmap(fd, PAGE)
os.unlink("g")
mapped[0:3] = b"no!"
assert os.pread(fd, 3, 0) == b"no!"
PYTHON
}
each_source body
