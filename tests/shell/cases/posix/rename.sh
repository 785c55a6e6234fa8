#!/usr/bin/env bash
# TIMEOUT: 40
# S-13: renames: over a file, over an empty directory, NOREPLACE, EXCHANGE, into itself.
. "$TEST_LIB/common.sh"
need python3
body() {
  python3 - <<'PYTHON'
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def rename2(old, new, flags):
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags) != 0:
        raise OSError(ctypes.get_errno(), old)
def refused(code, action, *words):
    try:
        action(*words)
    except OSError as error:
        assert error.errno == code, (words, error)
    else:
        raise AssertionError(words)
def write(name):
    with open(name, "w") as file:
        file.write(name)
def read(name):
    with open(name) as file:
        return file.read()
write("a"); write("b"); os.mkdir("d"); os.mkdir("e"); write("e/x")
refused(errno.EEXIST, rename2, "a", "b", 1)
rename2("a", "b", 2)
assert (read("a"), read("b")) == ("b", "a")
rename2("a", "c", 1)
refused(errno.ENOENT, rename2, "a", "b", 2)
rename2("b", "d", 2)
assert os.path.isdir("b") and read("d") == "a"
refused(errno.ENOTEMPTY, os.rename, "b", "e")
refused(errno.EISDIR, os.rename, "c", "e")
refused(errno.ENOTDIR, os.rename, "e", "c")
refused(errno.EINVAL, os.rename, "e", "e/inside")
os.rename("e", "b")
assert os.listdir("b") == ["x"] and sorted(os.listdir(".")) == ["b", "c", "d"]
PYTHON
}
each_source body
