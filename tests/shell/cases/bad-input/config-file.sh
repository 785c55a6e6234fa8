#!/usr/bin/env bash
# TIMEOUT: 30
# S-110: a configuration that is not there, no file, no text or too large: one line, exit 1.
. "$TEST_LIB/common.sh"
need jq
file="$TEST_DIR/net.toml"
wrong() {
  expect 1 rdr mount --config "$file" "$TEST_MNT"
  assert_one_line "$err"
  assert_eq "$err" "minirdr: $file:$1"
}
wrong " No such file or directory"
mkdir "$file"
wrong " a directory, not a regular file; the daemon reads it, and again on SIGHUP"
rmdir "$file" && mkfifo "$file"
wrong " a FIFO, not a regular file; the daemon reads it, and again on SIGHUP"
rm "$file" && printf '\n# \xff\n' >"$file"
wrong "2: not UTF-8; a configuration is UTF-8 throughout"
head -c 1048577 /dev/zero >"$file"
wrong " larger than 1048576 bytes, the most a configuration may have"
printf 'name = net\n' >"$file"
expect 1 rdr mount --config "$file" "$TEST_MNT" --json
assert_one_line "$err"
assert_has "$err" "minirdr: $file:1: not TOML: "
assert_eq "$(jq -r .error.code <<<"$out")" failed
assert_has "$(jq -r .error.message <<<"$out")" "$file:1: not TOML"
say "a relative name is shown with its directory"
(cd "$TEST_DIR" && expect 1 rdr mount --config net.toml mnt && assert_has "$err" "$file:1: ")
! is_mounted "$TEST_MNT" || fail "something was mounted"
assert_eq "$(find "$TEST_DIR/run" "$TEST_DIR/state" -mindepth 1)" "" "left behind"
