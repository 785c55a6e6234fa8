#!/usr/bin/env bash
# TIMEOUT: 40
# S-146: each time by itself, now or left alone, to the nanosecond, before 1970 and after 2106.
. "$TEST_LIB/common.sh"
need python3
body() {
  python3 - <<'PYTHON'
import errno, os
from calls import NOW, OMIT, make, refused, utimens
def times(path):
    seen = os.lstat(path)
    return seen.st_atime_ns, seen.st_mtime_ns
BACK = os.environ["TEST_DIR"] + "/back"
make("f"), make(BACK + "/native")
utimens("f", (7, 123456789), (9, 987654321))
assert times("f") == (7123456789, 9987654321)
utimens("f", (0, OMIT), (11, 1))
assert times("f") == (7123456789, 11000000001)
changed = os.stat("f").st_ctime_ns
utimens("f", (0, OMIT), (0, OMIT))
assert os.stat("f").st_ctime_ns == changed, "nothing was asked for"
utimens("f", (5, 5), (0, NOW))
assert times("f")[0] == 5000000005 and times("f")[1] > 10**18
utimens("f", (0, NOW), (0, OMIT))
assert times("f")[0] > 10**18
for seconds in (-1, -2, -100000, 1 - (1 << 31), (1 << 31) + 1, (1 << 32) + 5):
    for nanoseconds in (0, 1, 999999999):
        utimens("f", (seconds, nanoseconds), (seconds, nanoseconds))
        assert times("f") == (seconds * 10**9 + nanoseconds,) * 2, (seconds, times("f"))
# The ends of what the call takes. The server cuts them to what it can keep, as it does without us.
for seconds in (-(1 << 63), 1 - (1 << 63), (1 << 63) - 2, (1 << 63) - 1):
    for nanoseconds in (0, 1, 999999999):
        utimens("f", (seconds, nanoseconds), (seconds, nanoseconds))
        if os.environ["SOURCE"] != "memory:":
            utimens(BACK + "/native", (seconds, nanoseconds), (seconds, nanoseconds))
            assert times("f") == times(BACK + "/native"), (seconds, nanoseconds)
        elif seconds == -(1 << 63):
            assert times("f") == (seconds * 10**9,) * 2, times("f")
os.symlink("f", "l")
before = times("f")
utimens("l", (3, 3), (4, 4))
assert times("l") == (3000000003, 4000000004) and times("f") == before
refused(errno.EINVAL, utimens, "f", (0, 10**9), (0, 0))
PYTHON
}
each_source body
