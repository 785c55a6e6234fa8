#!/usr/bin/env bash
# TIMEOUT: 40
# S-143: a program that runs is not written nor cut off (ETXTBSY), O_RDONLY|O_TRUNC included.
. "$TEST_LIB/common.sh"
need python3
body() {
  python3 - <<'PYTHON'
import errno, os, shutil, subprocess
from calls import refused
shutil.copy(shutil.which("cat"), "program")
size = os.stat("program").st_size
running = subprocess.Popen(["./program"], stdin=subprocess.PIPE)
for turn in range(20):
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_TRUNC, os.O_WRONLY | os.O_TRUNC | os.O_CREAT):
        refused(errno.ETXTBSY, os.open, "program", flags)
    refused(errno.ETXTBSY, os.truncate, "program", 0)
assert os.stat("program").st_size == size and running.poll() is None
running.kill()
running.wait()
os.close(os.open("program", os.O_WRONLY | os.O_TRUNC))
assert os.stat("program").st_size == 0
held = os.open("program", os.O_WRONLY)
refused(errno.ETXTBSY, subprocess.run, ["./program"])
os.close(held)
PYTHON
}
each_source body
