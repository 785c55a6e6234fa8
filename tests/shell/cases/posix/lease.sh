#!/usr/bin/env bash
# TIMEOUT: 60
# S-166: under a lease the mount shows what others do behind it, and not when a lifetime has ended.
. "$TEST_LIB/common.sh"
need python3
need_root # a lease takes its rights
cd "$TEST_DIR"
mkdir back
# So long that nothing below is seen because its lifetime ended.
mount_rdr "local:$TEST_DIR/back" -o lease_timeout=1h
ln -s "$TEST_MNT" m
python3 - <<'PYTHON'
import os, time
def soon(what, look):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if look():
            return
    raise AssertionError(what)
def content(path):
    with open(path, "rb") as file:
        return file.read()
def gone(path):
    return not os.path.lexists(path)
with open("m/f", "wb") as file:
    file.write(b"ours")
held = os.open("m/f", os.O_RDONLY)
assert content("m/f") == b"ours"
with open("back/f", "wb") as file:
    file.write(b"theirs, and longer")
soon("content", lambda: content("m/f") == b"theirs, and longer")
soon("content of what is open", lambda: os.pread(held, 99, 0) == b"theirs, and longer")
assert os.fstat(held).st_size == 18
os.chmod("back/f", 0o640)
soon("mode", lambda: os.stat("m/f").st_mode & 0o777 == 0o640)
assert gone("m/new") and gone("m/new"), "remembered as absent"
os.mkdir("back/new")
soon("a new name", lambda: os.path.isdir("m/new"))
assert os.listdir("m/new") == []
open("back/new/x", "w").close()
soon("a listing", lambda: os.listdir("m/new") == ["x"])
os.link("back/f", "back/new/other")
soon("links", lambda: os.stat("m/f").st_nlink == 2)
with open("back/new/other", "r+b") as file:
    file.write(b"THEIRS")
soon("by another name", lambda: content("m/f") == b"THEIRS, and longer")
os.rename("back/f", "back/g")
soon("an old name", lambda: gone("m/f"))
assert content("m/g") == b"THEIRS, and longer"
with open("back/h", "wb") as file:
    file.write(b"replaced")
assert content("m/h") == b"replaced"
os.rename("back/h", "back/g")
soon("a replaced name", lambda: content("m/g") == b"replaced")
os.unlink("back/g")
soon("a removed name", lambda: gone("m/g"))
assert os.pread(held, 6, 0) == b"THEIRS", "what is open stays"
os.close(held)
PYTHON
