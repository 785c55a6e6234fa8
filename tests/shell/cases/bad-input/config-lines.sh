#!/usr/bin/env bash
# TIMEOUT: 60
# S-110: what is wrong in a configuration is named with file and line; exit 1, and nothing is left.
. "$TEST_LIB/common.sh"
file="$TEST_DIR/net.toml"
wrong() { # MESSAGE LINE... : a good provider, and then these lines.
  printf '%s\n' '[[provider]]' 'name = "a"' 'prefix = ["/a"]' 'source = "memory:"' "${@:2}" >"$file"
  expect 1 rdr mount --config "$file" "$TEST_MNT"
  assert_one_line "$err"
  assert_eq "$err" "minirdr: $file:$1"
}
second=('[[provider]]' 'name = "b"' 'source = "memory:"')
wrong '5: there is no key "optoins"; did you mean "options"?' 'optoins = {}'
known="delayed_closes, dmask, files, fmask, gid, latency, map, size, uid, umask"
wrong "5: memory: unknown option \"latancy\": known are $known" \
  'options = { latancy = "5ms" }'
wrong '7: memory: option size=lots: expected a number of bytes such as 64M' \
  '[provider.options]' 'files = 3' 'size = "lots"'
# S-152: a mapping is a provider's own.
wrong '5: memory: option umask=9: expected an octal number up to 0777' 'options = { umask = 9 }'
wrong '5: credentials: memory: takes none; leave them out' 'credentials = "secret"'
wrong '5: provider "b" has no prefix; write prefix = ["/srv1/docs"]' "${second[@]}"
wrong '8: prefix "b": it is not absolute; write "/b"' "${second[@]}" 'prefix = ["b"]'
wrong '8: prefix "/a" is there already, for provider "a"; it can be shown once' \
  "${second[@]}" 'prefix = ["/a"]'
inside="one inside another's cannot be served; write them side by side"
wrong "8: prefix \"/a/b\" is inside \"/a\" of provider \"a\": $inside" \
  "${second[@]}" 'prefix = ["/a/b"]'
# S-113: nor may one be named as the mount is, whoever names that.
wrong_name() { # NAME ARGUMENT... : of the mount, with a provider of that name in line 2.
  printf '%s\n' '[[provider]]' "name = \"$1\"" 'prefix = ["/a"]' 'source = "memory:"' >"$file"
  expect 1 rdr mount --config "$file" "$TEST_MNT" "${@:2}"
  assert_one_line "$err"
  assert_has "$err" "minirdr: $file:2: provider \"$1\" would be named as the mount is: "
}
wrong_name "$(basename "$TEST_MNT")"
wrong_name other --name other
wrong_name other -o name=other
printf 'name = "net"\n' >"$file"
expect 1 rdr mount --config "$file" "$TEST_MNT"
right="write [[provider]] with name, prefix and source"
assert_eq "$err" "minirdr: $file:1: there is no provider; $right"
! is_mounted "$TEST_MNT" || fail "something was mounted"
assert_eq "$(find "$TEST_DIR/run" "$TEST_DIR/state" -mindepth 1)" "" "left behind"
