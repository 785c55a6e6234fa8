#!/usr/bin/env bash
# TIMEOUT: 1800
# S-18, S-151: a directory of 100,000 names ($MANY of them; 20,000 on local:): each once, whatever
# comes and goes meanwhile, and back to any place in it.
. "$TEST_LIB/common.sh"
need python3
body() {
  case "$source" in memory:) ;; *) MANY=20000 ;; esac
  MANY=${MANY:-100000} python3 - <<'PYTHON'
import ctypes, os, threading
libc = ctypes.CDLL(None)
libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long
for call, kinds in (("readdir", [ctypes.c_void_p]), ("telldir", [ctypes.c_void_p]),
                    ("seekdir", [ctypes.c_void_p, ctypes.c_long]), ("closedir", [ctypes.c_void_p])):
    getattr(libc, call).argtypes = kinds
os.mkdir("d")
kept = {f"kept-{number:07}" for number in range(int(os.environ["MANY"]))}
for name in kept:
    os.close(os.open(f"d/{name}", os.O_CREAT | os.O_WRONLY))
stop = threading.Event()
def disturb():
    number = 0
    while not stop.is_set():
        number += 1
        os.close(os.open(f"d/new-{number}", os.O_CREAT | os.O_WRONLY))
        if number % 3 == 0:
            os.rename(f"d/new-{number}", f"d/moved-{number}")
        if number > 50:
            for name in (f"d/new-{number - 50}", f"d/moved-{number - 50}"):
                if os.path.exists(name):
                    os.unlink(name)
others = [threading.Thread(target=disturb)]
others[0].start()
try:
    for turn in range(3):
        seen = os.listdir("d")
        assert kept <= set(seen), sorted(kept - set(seen))[:5]
        assert len(seen) == len(set(seen)), "a name came twice"
finally:
    stop.set()
    others[0].join()
def name(entry):
    return ctypes.string_at(entry + 19)
listing = libc.opendir(b"d")
places, names = [], []
while True:
    places.append(libc.telldir(listing))
    entry = libc.readdir(listing)
    if not entry:
        break
    names.append(name(entry))
assert len(set(names)) == len(names) and {n.decode() for n in names} >= kept
for at in (0, 1, 17, len(names) // 2, len(names) - 1, 3):
    libc.seekdir(listing, places[at])
    assert name(libc.readdir(listing)) == names[at], at
libc.closedir(listing)
PYTHON
}
each_source body
