#!/usr/bin/env bash
# TIMEOUT: 60
# S-122: HUP reads the configuration again: what is new is added, what changed is replaced, what is no
# more is removed, and nothing else is touched.
# S-123: a file that is wrong is refused as a whole, with its line in the log.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net -o entry_timeout=60
puppet holder
puppet other
timeout 10 sh -c "echo text >'$TEST_MNT/srv2/tmp/g'"
ask_ok other open g rw "$TEST_MNT/srv2/tmp/g"
ask_ok holder open f r "$TEST_MNT/srv1/docs/f"
was=$(shares)
reload "the configuration was read again: nothing in the configuration has changed"
assert_eq "$(shares)" "$was"
# Wrong: a line of the file.
cp "$TEST_DIR/net.toml" "$TEST_DIR/good.toml"
printf '[[provider]]\nname = "bad"\nprefix = ["/srv1/docs/in"]\nsource = "memory:"\n' >>"$TEST_DIR/net.toml"
reload "the configuration stays as it is: $TEST_DIR/net.toml:12: prefix"
assert_eq "$(shares)" "$was"
# Right, and does not start: nothing has changed either.
sed -i 's|"/srv1/docs/in"|"/bad"|; s|"memory:"$|&|; $ s|.*|source = "faulty:memory:"\noptions = { start = "error:EIO" }|' "$TEST_DIR/net.toml"
reload 'the configuration stays as it is: provider "bad": MRxStart failed'
assert_eq "$(shares)" "$was"
assert_eq "$(ask holder read f 9)" "ok 4 one"
# One replaced, one added, one as it was.
sed 's|local:a|local:b|' "$TEST_DIR/good.toml" >"$TEST_DIR/net.toml"
printf '\n[[provider]]\nname = "new"\nprefix = ["/srv3/new"]\nsource = "local:a"\n' >>"$TEST_DIR/net.toml"
reload "the configuration was read again: added new; replaced docs; unchanged scratch"
assert_eq "$(look srv1/docs/f) $(look srv3/new/f)" "other one"
ask_error holder ESTALE read f 9
assert_eq "$(ask other read g 9)" "ok 5 text" "what did not change never notices"
wait_until "it is stopped" sh -c "\"$MINIRDR\" provider list '$NAME' | grep -q 'docs~1 .* left '"
ask_ok holder close f
wait_until "the old one is gone" have_shares \
  "docs running /srv1/docs,new running /srv3/new,scratch running /srv1/scratch,scratch running /srv2/tmp"
# One removed; its directory with it. What commands changed is as the file says again.
expect 0 rdr provider add "$NAME" --provider byhand --prefix /hand --source memory:
cp "$TEST_DIR/good.toml" "$TEST_DIR/net.toml"
reload "the configuration was read again: replaced docs; removed new, byhand; unchanged scratch"
assert_eq "$(timeout 10 ls "$TEST_MNT" | paste -sd' ' -)" "srv1 srv2"
assert_eq "$(look srv1/docs/f)" one
assert_eq "$(ask other read g 9)" "ok 0" "at its end, and open"
# Prefixes that change hands, and one inside where another was.
cat >"$TEST_DIR/net.toml" <<END
[[provider]]
name = "docs"
prefix = ["/srv1/docs/in", "/srv2/tmp"]
source = "local:a"

[[provider]]
name = "scratch"
prefix = ["/srv1/scratch"]
source = "memory:"
END
timeout 10 sh -c "echo kept >'$TEST_MNT/srv1/scratch/k'"
ask_ok holder open k r "$TEST_MNT/srv1/scratch/k"
reload "the configuration was read again: replaced docs, scratch"
assert_eq "$(ask holder read k 9)" "ok 5 kept" "a prefix that a provider keeps goes on"
ask_error other ESTALE read g 9
assert_eq "$(look srv1/docs/in/f) $(look srv2/tmp/f)" "one one"
assert_eq "$(timeout 10 ls "$TEST_MNT/srv1/docs")" in
# What memory holds goes on under the prefixes it keeps.
assert_eq "$(look srv1/scratch/g)" text
ask_ok other close g
wait_until "what left is gone" have_shares \
  "docs running /srv1/docs/in,docs running /srv2/tmp,scratch running /srv1/scratch"
sed -i 's|"/srv1/scratch"|&, "/srv5/more"|' "$TEST_DIR/net.toml"
reload "the configuration was read again: replaced scratch; unchanged docs"
assert_eq "$(look srv5/more/g)" text
ask_ok holder close k && ask_ok holder open k r "$TEST_MNT/srv5/more/k"
# It stops and starts as a whole.
expect 10 rdr stop "$NAME" --provider scratch --wait
assert_eq "$(timeout 10 ls "$TEST_MNT" | paste -sd' ' -)" "srv1 srv2"
expect 0 rdr start "$NAME" --provider scratch
assert_eq "$(look srv5/more/g)" text
ask_ok holder close k
# Not while it is stopped.
expect 0 rdr stop "$NAME" --wait
reload "the configuration stays as it is: the mount is not running"
