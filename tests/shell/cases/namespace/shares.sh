#!/usr/bin/env bash
# TIMEOUT: 60
# Several providers under one mount: each under its prefix, in directories that nobody can change,
# with numbers of their own; nothing is renamed or linked from one to the other.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
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
mount_config
cd "$TEST_MNT"
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
timeout 10 sh -c 'echo new >srv2/tmp/g && mkdir srv3/deep/er/scratch/d'
assert_eq "$(cat "$TEST_DIR/b/g")" new
assert_eq "$(timeout 10 cat srv1/more/g)" new "the same directory under its other prefix"
expect 0 rdr status "$NAME" --json
shown='[.mount.providers[] | [.name, .prefix, .state] | join(" ")] | join(",")'
assert_eq "$(jq -r "$shown" <<<"$out")" "both /srv1/more running,both /srv2/tmp running,\
docs /srv1/docs running,scratch /srv3/deep/er/scratch running"
cd / && expect 0 rdr umount "$NAME"
wait_until "it is gone" is_gone
assert_eq "$(ls "$TEST_MNT")" ""
