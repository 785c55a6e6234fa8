#!/usr/bin/env bash
# TIMEOUT: 60
# Several providers under one mount: each under its prefix, in directories that nobody can change,
# with numbers of their own; nothing is renamed or linked from one to the other.
. "$TEST_LIB/common.sh"
need jq python3
need_fuse
mkdir "$TEST_DIR/a" "$TEST_DIR/b"
echo one >"$TEST_DIR/a/f" && echo other >"$TEST_DIR/b/f"
cat >"$TEST_DIR/net.toml" <<EOF
[[provider]]
name = "docs"
prefix = ["/srv1/docs"]
source = "local:a"

[[provider]]
name = "both"
prefix = ["/srv1/more", "/srv2/tmp"]
source = "local:b"

[[provider]]
name = "scratch"
prefix = ["/srv3/deep/er/scratch"]
source = "memory:"
EOF
expect 0 rdr mount --config "$TEST_DIR/net.toml" "$TEST_MNT" --name "$NAME" --log "$TEST_DIR/daemon.log"
cd "$TEST_MNT"
listing() { timeout 10 python3 -c 'import os, sys; print(*sorted(os.listdir(sys.argv[1])))' "$1"; }
assert_eq "$(listing .)" "srv1 srv2 srv3"
assert_eq "$(listing srv1)" "docs more"
assert_eq "$(listing srv3/deep/er)" "scratch"
# What a listing says of a share is what stat says of it.
timeout 10 python3 - <<'EOF'
import os
for where in ["srv1", "srv2", "srv3/deep/er"]:
    for entry in os.scandir(where):
        assert entry.inode() == os.stat(entry.path).st_ino, entry.path
        assert entry.is_dir(follow_symlinks=False), entry.path
numbers = [os.stat(path).st_ino for path in ["srv1/docs/f", "srv1/more/f", "srv2/tmp/f"]]
assert len(set(numbers)) == 3, numbers
EOF
assert_eq "$(timeout 10 cat srv1/docs/f srv1/more/f srv2/tmp/f)" $'one\nother\nother'
timeout 10 sh -c 'echo new >srv2/tmp/g && mkdir srv3/deep/er/scratch/d && echo x >srv3/deep/er/scratch/d/x'
assert_eq "$(cat "$TEST_DIR/b/g")" new
assert_eq "$(timeout 10 cat srv1/more/g)" new "the same directory under its other prefix"
# Nothing goes from one share to another, but by a copy; mv makes one.
assert_errno "Invalid cross-device link" timeout 10 ln srv1/docs/f srv1/more/hard
assert_errno "Errno 18" timeout 10 python3 -c 'import os; os.rename("srv1/docs/f", "srv1/more/moved")'
timeout 10 mv srv1/docs/f srv3/deep/er/scratch/f
assert_eq "$(timeout 10 cat srv3/deep/er/scratch/f)" one
[ ! -e "$TEST_DIR/a/f" ] || fail "it is still there"
# The directories above the shares are the router's.
for change in "mkdir srv1/new" "touch new" "rmdir srv2" "mv srv1 srv9" "ln -s x srv1/link" "chmod 700 srv1"; do
  assert_errno "Read-only file system" timeout 10 $change
done
assert_errno "No such file or directory" timeout 10 cat srv1/none/f
assert_errno "No such file or directory" timeout 10 cat srv9
# The root sums nothing up; a share says what its server has.
assert_eq "$(timeout 10 stat -f -c %b .)" 0
[ "$(timeout 10 stat -f -c %b srv1/docs)" -gt 0 ] || fail "no volume"
expect 0 rdr status "$NAME" --json
assert_eq "$(jq -c '[.mount.providers[] | [.name, .prefix, .state]]' <<<"$out")" \
  '[["both","/srv1/more","running"],["both","/srv2/tmp","running"],["docs","/srv1/docs","running"],["scratch","/srv3/deep/er/scratch","running"]]'
cd / && expect 0 rdr umount "$NAME"
wait_until "it is gone" is_gone
assert_eq "$(ls "$TEST_MNT")" ""
