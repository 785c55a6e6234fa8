#!/usr/bin/env bash
# TIMEOUT: 60
# S-122: HUP reads the configuration again: what is new is added, what changed is replaced, what is
# no more is removed, and nothing else is touched.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net -o entry_timeout=60
puppet holder
puppet other
timeout 10 sh -c "echo text >'$TEST_MNT/srv2/tmp/g'"
ask_ok other open g rw "$TEST_MNT/srv2/tmp/g"
ask_ok holder open f r "$TEST_MNT/srv1/docs/f"
cp "$TEST_DIR/net.toml" "$TEST_DIR/good.toml"
scratch="scratch running /srv1/scratch,scratch running /srv2/tmp"
# One replaced, one added, one as it was.
sed 's|local:a|local:b|' "$TEST_DIR/good.toml" >"$TEST_DIR/net.toml"
printf '\n[[provider]]\nname = "new"\nprefix = ["/srv3/new"]\nsource = "local:a"\n' \
  >>"$TEST_DIR/net.toml"
reload "the configuration was read again: added new; replaced docs; unchanged scratch"
assert_eq "$(look srv1/docs/f) $(look srv3/new/f)" "other one"
ask_error holder ESTALE read f 9
assert_eq "$(ask other read g 9)" "ok 5 text" "what did not change never notices"
has_left() { rdr provider list "$NAME" | grep -q 'docs~1 .* left '; }
wait_until "it is stopped" has_left
ask_ok holder close f
wait_until "the old one is gone" have_shares \
  "docs running /srv1/docs,new running /srv3/new,$scratch"
# One removed; its directory with it. What commands changed stays where the file says what it said.
expect 0 rdr provider add "$NAME" --provider byhand --prefix /hand --source memory:
cp "$TEST_DIR/good.toml" "$TEST_DIR/net.toml"
reload "read again: replaced docs; removed new; unchanged scratch, byhand"
assert_eq "$(listing .)" "hand srv1 srv2"
assert_eq "$(look srv1/docs/f)" one
assert_eq "$(ask other read g 9)" "ok 0" "at its end, and open"
expect 0 rdr provider replace "$NAME" --provider byhand --source "local:$TEST_DIR/b"
reload "read again: nothing in the configuration has changed"
assert_eq "$(look hand/f)" other
