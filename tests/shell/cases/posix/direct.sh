#!/usr/bin/env bash
# TIMEOUT: 40
# S-141: O_DIRECT, cached reads and writes and mappings of one file see each other's bytes at once.
. "$TEST_LIB/common.sh"
need python3
body() {
  python3 - <<'PYTHON'
import mmap, os
PAGE = 4096
out, back = mmap.mmap(-1, 16 * PAGE), mmap.mmap(-1, 16 * PAGE)
for page in range(16):
    out[page * PAGE:(page + 1) * PAGE] = bytes([65 + page]) * PAGE
direct = os.open("f", os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
cached = os.open("f", os.O_RDWR)
assert os.pwritev(direct, [out], 0) == 16 * PAGE
assert os.pread(cached, 3, 5 * PAGE - 1) == b"EFF"
os.pwrite(cached, b"cached", 5 * PAGE)
assert os.preadv(direct, [back], 0) == 16 * PAGE
assert back[5 * PAGE:5 * PAGE + 7] == b"cachedF"
out[0:PAGE] = b"z" * PAGE
os.pwritev(direct, [memoryview(out)[:PAGE]], 5 * PAGE)
assert os.pread(cached, 3, 5 * PAGE) == b"zzz", "written past the cache, and read through it"
assert os.pwrite(direct, b"odd", 5 * PAGE + 7) == 3
assert os.pread(cached, 5, 5 * PAGE + 6) == b"zoddz"
mapped = mmap.mmap(cached, 16 * PAGE, mmap.MAP_SHARED)
mapped[0:4] = b"MAPD"
assert os.preadv(direct, [back], 0) == 16 * PAGE and back[:5] == b"MAPDA"
os.pwritev(direct, [memoryview(out)[:PAGE]], 0)
assert mapped[0:3] == b"zzz"
os.ftruncate(cached, 5000)
assert os.preadv(direct, [back], PAGE) == 5000 - PAGE
assert os.preadv(direct, [back], 2 * PAGE) == 0
PYTHON
}
each_source body
