#!/usr/bin/env bash
# TIMEOUT: 30
# S-111: a provider's directory is there, and the mount serves nothing of itself; exit 1 otherwise.
. "$TEST_LIB/common.sh"
file="$TEST_DIR/net.toml"
wrong() { # SOURCE MESSAGE
  printf '%s\n' '[[provider]]' 'name = "a"' 'prefix = ["/a"]' "source = \"$1\"" >"$file"
  expect 1 rdr mount --config "$file" "$TEST_MNT"
  assert_one_line "$err"
  assert_eq "$err" "minirdr: $file:4: source \"$2"
}
missing="No such file or directory; local: serves a directory that is there"
wrong "local:$TEST_DIR/none" "local:$TEST_DIR/none\": $missing"
say "a relative directory is beside the file, wherever the command is"
cd /
wrong local:none "local:$TEST_DIR/none\": $missing"
wrong local:net.toml "local:$file\": not a directory; local: serves one"
inside="the mount point $TEST_MNT is inside it; mount elsewhere"
wrong "local:$TEST_DIR" "local:$TEST_DIR\": $inside"
ln -s . "$TEST_DIR/link"
wrong faulty:local:link "faulty:local:$TEST_DIR/link\": $inside"
mkdir "$TEST_MNT/sub"
wrong local:mnt/sub "local:$TEST_MNT/sub\": it is inside the mount point $TEST_MNT; name another"
! is_mounted "$TEST_MNT" || fail "something was mounted"
assert_eq "$(find "$TEST_DIR/run" "$TEST_DIR/state" -mindepth 1)" "" "left behind"
