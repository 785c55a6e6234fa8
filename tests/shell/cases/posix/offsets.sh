#!/usr/bin/env bash
# TIMEOUT: 40
# S-148: offsets of 64 bits, and files that are holes but for a few bytes.
. "$TEST_LIB/common.sh"
need python3
body() {
  python3 - <<'PYTHON'
import errno, os
from calls import refused
fd = os.open("f", os.O_RDWR | os.O_CREAT | os.O_EXCL)
for at in (1 << 31, (1 << 32) + 5, 1 << 40):
    assert os.pwrite(fd, b"here", at) == 4
    assert os.fstat(fd).st_size == at + 4
    assert os.pread(fd, 10, at - 2) == b"\0\0here"
assert os.lseek(fd, 0, os.SEEK_DATA) == 1 << 31
assert os.lseek(fd, (1 << 31) + 4096, os.SEEK_DATA) == 1 << 32
assert os.lseek(fd, 1 << 31, os.SEEK_HOLE) == (1 << 31) + 4096
assert os.lseek(fd, 0, os.SEEK_END) == (1 << 40) + 4
assert os.fstat(fd).st_blocks * 512 < 1 << 20
refused(errno.ENXIO, os.lseek, fd, 1 << 41, os.SEEK_DATA)
refused(errno.EINVAL, os.lseek, fd, -1, os.SEEK_SET)
refused(errno.EINVAL, os.pread, fd, 1, -1)
refused(errno.EINVAL, os.pwrite, fd, b"x", (1 << 63) - 1)
os.ftruncate(fd, 1 << 32)
assert os.pread(fd, 10, (1 << 32) - 4) == b"\0" * 4
PYTHON
}
each_source body
