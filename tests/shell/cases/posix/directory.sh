#!/usr/bin/env bash
# TIMEOUT: 90
# S-18: a listing shows every name that was there throughout exactly once, whatever changes
# meanwhile.
. "$TEST_LIB/common.sh"
need python3
body() {
  python3 - <<'PYTHON'
import os
os.mkdir("d")
kept = {f"kept-{number:05}" for number in range(3000)}
for name in kept:
    open(f"d/{name}", "w").close()
for turn in range(3):
    seen = []
    with os.scandir("d") as entries:
        for number, entry in enumerate(entries):
            seen.append(entry.name)
            if number % 10 == 0:
                open(f"d/new-{turn}-{number}", "w").close()
            if number % 20 == 0 and turn > 0:
                gone = f"d/new-{turn - 1}-{number}"
                if os.path.exists(gone):
                    os.unlink(gone)
    assert kept <= set(seen), len(kept - set(seen))
    assert len(seen) == len(set(seen)), "a name came twice"
assert kept <= set(os.listdir("d"))
PYTHON
  assert_eq "$(find d -name 'kept-*' | wc -l)" 3000
  rm -r d
}
each_source body
