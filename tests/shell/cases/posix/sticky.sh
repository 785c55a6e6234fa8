#!/usr/bin/env bash
# TIMEOUT: 40
# S-144: in a sticky directory only the owner of a file or of the directory removes or renames it.
. "$TEST_LIB/common.sh"
need_root; need python3
each_options=allow_other
body() {
  python3 - <<'PYTHON'
import errno, os
from calls import as_user, make
A, B = 1111, 2222
os.mkdir("t")
os.chmod("t", 0o1777)
assert as_user(A, [], lambda: make("t/a")) == 0
assert as_user(B, [], lambda: make("t/b")) == 0
for action in (
    lambda: os.unlink("t/a"),
    lambda: os.rename("t/a", "t/c"),
    lambda: os.rename("t/b", "t/a"),
):
    assert as_user(B, [], action) == errno.EPERM
os.chown("t", A, A)
assert as_user(A, [], lambda: os.unlink("t/b")) == 0, "whose directory it is may"
os.mkdir("t/d")
os.chown("t/d", A, A)
os.chown("t", 0, 0)
os.chmod("t", 0o1777)
assert as_user(B, [], lambda: os.rmdir("t/d")) == errno.EPERM
assert as_user(A, [], lambda: os.rmdir("t/d")) == 0
os.chmod("t", 0o777)
assert as_user(B, [], lambda: os.unlink("t/a")) == 0
PYTHON
}
each_source body
