#!/usr/bin/env bash
# TIMEOUT: 40
# S-153: who is shown as the owner of a program that runs as its real one can neither change it
# through a mapping and leave it so, nor let himself run it.
. "$TEST_LIB/common.sh"
need_root
need python3
mkdir "$TEST_DIR/back"
for mode in 4755 4700; do head -c 4096 /bin/true >"$TEST_DIR/back/$mode"; done
chmod 4755 "$TEST_DIR/back/4755" && chmod 4700 "$TEST_DIR/back/4700"
mount_rdr "local:$TEST_DIR/back" -o allow_other,uid=65534
chmod 711 "$TEST_DIR"
assert_eq "$(stat -c %u "$TEST_MNT/4755")" 65534
PYTHONPATH=$TEST_LIB python3 - "$TEST_MNT/4755" <<'PYTHON'
import mmap, sys
from calls import as_user
def change():
    with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 4096) as mapped:
        mapped[0:4] = b"evil"
        mapped.flush()
assert as_user(65534, [], change) == 0
PYTHON
assert_eq "$(head -c 4 "$TEST_DIR/back/4755")" evil
assert_eq "$(stat -c %a "$TEST_DIR/back/4755")" 755 "set-id after a write through a mapping"
assert_errno "Operation not permitted" user chmod 4755 "$TEST_MNT/4700"
assert_eq "$(stat -c %a "$TEST_DIR/back/4700")" 4700
