#!/usr/bin/env bash
# TIMEOUT: 60
# S-11, S-13: an editor's save (new file, fsync, rename over the old) never shows half a file.
. "$TEST_LIB/common.sh"
need python3
body() {
  python3 - <<'PYTHON'
import os, threading
old, new = b"a" * 70000, b"b" * 90000
open("f", "wb").write(old)
over, seen = threading.Event(), set()
def reader():
    while not over.is_set():
        with open("f", "rb") as file:
            seen.add(file.read())
thread = threading.Thread(target=reader)
thread.start()
for turn in range(100):
    with open(".f.swp", "wb") as file:
        file.write(new if turn % 2 == 0 else old)
        file.flush()
        os.fsync(file.fileno())
    os.rename(".f.swp", "f")
    folder = os.open(".", os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
over.set()
thread.join()
assert seen <= {old, new}, [len(text) for text in seen]
assert os.listdir(".") == ["f"], os.listdir(".")
PYTHON
  rm f
  if command -v vim >/dev/null; then
    vim -u NONE -es -c 'call append(0, "hello")' -c wq g && assert_eq "$(head -n 1 g)" hello
  fi
}
each_source body
