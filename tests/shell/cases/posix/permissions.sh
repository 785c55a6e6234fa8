#!/usr/bin/env bash
# TIMEOUT: 60
# S-150: nobody gets what the file refuses him, no_default_permissions or not.
. "$TEST_LIB/common.sh"
need_root; need python3
body() {
  python3 - <<'PYTHON'
import errno, os
from calls import as_user, make
A, B, G = 1111, 2222, 4444
os.chmod(".", 0o755)
os.mkdir("closed")
make("closed/f")
os.chmod("closed", 0o700)
make("f")
os.chmod("f", 0o640)
os.chown("f", A, G)
os.mkdir("own")
os.chown("own", A, G)
os.chmod("own", 0o750)
make("own/x")
def opened(name, flags):
    return lambda: os.close(os.open(name, flags))
R, W = os.O_RDONLY, os.O_WRONLY
os.stat("closed/f"), os.stat("own/x")
no, perm, ok = errno.EACCES, errno.EPERM, 0
table = [
    (B, [], opened("closed/f", R), no), (B, [], lambda: os.stat("closed/f"), no),
    (B, [], lambda: os.listdir("closed"), no), (B, [], lambda: os.chdir("closed"), no),
    (B, [], opened("f", R), no), (B, [G], opened("f", R), ok), (B, [G], opened("f", W), no),
    (A, [], opened("f", W), ok), (B, [], lambda: make("new"), no),
    (B, [], lambda: os.mkdir("new"), no), (B, [], lambda: os.symlink("x", "new"), no),
    (B, [], lambda: os.link("own/x", "new"), no), (B, [], lambda: os.unlink("own/x"), no),
    (B, [G], lambda: os.stat("own/x"), ok), (B, [G], lambda: os.unlink("own/x"), no),
    (B, [G], lambda: os.rename("own/x", "own/y"), no), (A, [], lambda: make("own/y"), ok),
    (B, [G], lambda: os.chmod("f", 0o666), perm), (B, [G], lambda: os.chown("f", B, B), perm),
    (A, [], lambda: os.chown("f", B, -1), perm), (A, [], lambda: os.chown("f", -1, B), perm),
    (B, [G], lambda: os.utime("f", (1, 1)), perm), (B, [G], lambda: os.utime("f"), no),
    (B, [G], lambda: os.truncate("f", 0), no),
    (B, [G], lambda: os.setxattr("f", "user.a", b""), no),
    (B, [], lambda: os.getxattr("f", "user.a"), no), (A, [], lambda: os.unlink("f"), no),
    (A, [], lambda: os.setxattr("f", "trusted.a", b""), perm),
    (A, [], lambda: os.mknod("own/n", 0o20666, os.makedev(1, 3)), perm),
    (B, [G], lambda: os.close(os.open("f", R | os.O_NOATIME)), perm),
    (0, [], lambda: os.execv("./f", ["f"]), no),
]
for number, (who, groups, action, expected) in enumerate(table):
    got = as_user(who, groups, action)
    assert got == expected, (number, who, groups, errno.errorcode.get(got), expected)
PYTHON
}
for each_options in allow_other allow_other,no_default_permissions; do
  rm -rf "$TEST_DIR/back"
  each_source body
done
# Without allow_other nobody else comes in at all, and root with it.
mount_rdr memory:
assert_errno "Permission denied" setpriv --reuid 1111 --regid 1111 --clear-groups ls "$TEST_MNT"
