#!/usr/bin/env bash
# TIMEOUT: 60
# S-123: a configuration that is wrong, or does not start, is refused as a whole, with its line in
# the log.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net
puppet holder
ask_ok holder open f r "$TEST_MNT/srv1/docs/f"
was=$(shares)
reload "the configuration was read again: nothing in the configuration has changed"
assert_eq "$(shares)" "$was"
# bad PREFIX SOURCE [OPTIONS] : a provider more in the file.
cp "$TEST_DIR/net.toml" "$TEST_DIR/good.toml"
bad() {
  cp "$TEST_DIR/good.toml" "$TEST_DIR/net.toml"
  printf '%s\n' '[[provider]]' 'name = "bad"' "prefix = [\"$1\"]" "source = \"$2\"" "${3:-}" \
    >>"$TEST_DIR/net.toml"
}
# Wrong: a line of the file.
bad /srv1/docs/in memory:
reload "the configuration stays as it is: $TEST_DIR/net.toml:12: prefix"
assert_eq "$(shares)" "$was"
# Right, and does not start.
bad /bad faulty:memory: 'options = { start = "error:EIO" }'
reload 'the configuration stays as it is: provider "bad": MRxStart failed'
assert_eq "$(shares)" "$was"
bad /bad memory:
sed -i "s|\"bad\"|\"$NAME\"|" "$TEST_DIR/net.toml"
reload "the configuration stays as it is: provider \"$NAME\" would be named as the mount is"
mv "$TEST_DIR/net.toml" "$TEST_DIR/away.toml"
reload "the configuration stays as it is: $TEST_DIR/net.toml: No such file"
assert_eq "$(shares)" "$was"
assert_eq "$(ask holder read f 9)" "ok 4 one"
# Not while the mount is stopped.
cp "$TEST_DIR/good.toml" "$TEST_DIR/net.toml"
expect 10 rdr stop "$NAME" --wait
reload "the configuration stays as it is: the mount is not running"
