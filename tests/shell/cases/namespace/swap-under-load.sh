#!/usr/bin/env bash
# TIMEOUT: 120
# namespace.md, invariant 4, and S-116: a prefix goes from one source to another and back, again
# and again, under load: nobody below another prefix meets an error, nobody below this one finds no
# name, and the next open after each swap has the new bytes, although the kernel may believe names
# for 60 s.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net -o entry_timeout=60,attr_timeout=60,negative_timeout=60
mkdir "$TEST_DIR/a/d" "$TEST_DIR/b/d"
echo a >"$TEST_DIR/a/d/x" && echo b >"$TEST_DIR/b/d/x"
mkfifo "$TEST_DIR/go"
python3 "$TEST_LIB/net_load.py" "$TEST_MNT" <"$TEST_DIR/go" >"$TEST_DIR/load.out" &
load=$!
exec {go}>"$TEST_DIR/go"
wait_until "it runs" test -e "$TEST_MNT/srv2/tmp/load1"
for round in $(seq 25); do
  for to in b a; do
    run rdr provider replace "$NAME" --provider docs --source "local:$TEST_DIR/$to"
    [ "$code" = 0 ] || [ "$code" = 10 ] || fail "round $round: exit $code"
    assert_eq "$(look srv1/docs/d/x)" "$to" "round $round"
  done
done
echo >&"$go"
wait "$load"
say "$(cat "$TEST_DIR/load.out")"
assert_has "$(cat "$TEST_DIR/load.out")" good
assert_lacks "$(cat "$TEST_DIR/load.out")" " 0"
wait_until "all that left is gone" have_shares \
  "docs running /srv1/docs,scratch running /srv1/scratch,scratch running /srv2/tmp"
