#!/usr/bin/env bash
# TIMEOUT: 40
# S-17: fallocate, punched holes, SEEK_DATA and SEEK_HOLE, copy_file_range.
. "$TEST_LIB/common.sh"
need python3 fallocate
body() {
  fallocate -l 1M f && assert_eq "$(stat -c %s f)" 1048576
  fallocate -n -l 2M f && assert_eq "$(stat -c %s f)" 1048576
  head -c 1048576 /dev/zero | tr '\0' x >g
  fallocate -p -o 65536 -l 131072 g
  python3 - <<'PYTHON'
import os
g = os.open("g", os.O_RDWR)
data = os.pread(g, 1 << 21, 0)
assert data == b"x" * 65536 + b"\0" * 131072 + b"x" * (1048576 - 196608)
assert os.lseek(g, 0, os.SEEK_HOLE) == 65536
assert os.lseek(g, 65536, os.SEEK_DATA) == 196608
h = os.open("h", os.O_RDWR | os.O_CREAT)
copied = 0
while copied < 200000:
    copied += os.copy_file_range(g, h, 200000 - copied, copied, copied)
assert os.pread(h, 300000, 0) == data[:200000]
PYTHON
  cp --sparse=always g sparse && cmp g sparse
}
each_source body
