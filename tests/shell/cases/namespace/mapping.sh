#!/usr/bin/env bash
# TIMEOUT: 40
# S-154: each provider shows its files as it is told to.
. "$TEST_LIB/common.sh"
need_root
cat >"$TEST_DIR/net.toml" <<'TOML'
[[provider]]
name = "one"
prefix = ["/one"]
source = "memory:"
options = { uid = 1000, map = ["@0/@50", "@50/@0"] }
[[provider]]
name = "two"
prefix = ["/two"]
source = "memory:"
options = { umask = "077" }
TOML
need_fuse
expect 0 rdr mount --config "$TEST_DIR/net.toml" "$TEST_MNT" --name "$NAME"
touch "$TEST_MNT"/{one,two}/f
mkdir "$TEST_MNT/two/d"
assert_eq "$(stat -c '%u %g %a' "$TEST_MNT/one/f")" "1000 0 644"
assert_eq "$(stat -c '%u %g' "$TEST_MNT/one")" "1000 50" "the server's root directory"
assert_eq "$(stat -c '%u %g %a' "$TEST_MNT/two/f")" "0 0 600"
assert_eq "$(stat -c '%a' "$TEST_MNT/two/d")" 700
rdr provider list "$NAME"
