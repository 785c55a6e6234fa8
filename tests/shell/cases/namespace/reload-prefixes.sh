#!/usr/bin/env bash
# TIMEOUT: 60
# S-122: prefixes that change hands when the configuration is read again, and one inside where
# another was; a provider that only gets other prefixes goes on.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net -o entry_timeout=60
puppet holder
puppet other
timeout 10 sh -c "echo text >'$TEST_MNT/srv2/tmp/g'"
ask_ok other open g rw "$TEST_MNT/srv2/tmp/g"
ask_ok holder open f r "$TEST_MNT/srv1/docs/f"
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
assert_eq "$(listing srv1/docs)" in
# What memory holds goes on under the prefixes it keeps.
assert_eq "$(look srv1/scratch/g)" text
ask_ok other close g && ask_ok holder close f
wait_until "what left is gone" have_shares \
  "docs running /srv1/docs/in,docs running /srv2/tmp,scratch running /srv1/scratch"
sed -i 's|"/srv1/scratch"|&, "/srv5/more"|' "$TEST_DIR/net.toml"
reload "the configuration was read again: replaced scratch; unchanged docs"
assert_eq "$(look srv5/more/g)" text
ask_ok holder close k && ask_ok holder open k r "$TEST_MNT/srv5/more/k"
# It stops and starts as a whole.
expect 10 rdr stop "$NAME" --provider scratch --wait
assert_eq "$(listing .)" "srv1 srv2"
expect 0 rdr start "$NAME" --provider scratch
assert_eq "$(look srv5/more/g)" text
ask_ok holder close k
