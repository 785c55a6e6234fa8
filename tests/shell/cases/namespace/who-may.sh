#!/usr/bin/env bash
# TIMEOUT: 60
# S-90, S-94: providers are changed by root and the owner, not by who may stop, and others read no
# path in them; who may not do a thing to a provider is not told whether there is one.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
need_root
need setpriv jq
member() { setpriv --reuid 65534 --regid 65534 --groups 54321 "$@"; }
chmod 755 "$TEST_DIR/run"
mount_net -o allow_other,control_group=54321
was=$(shares)
for who in user member; do
  for source in local:/root/x local:/nowhere memory:; do
    expect 5 "$who" "$MINIRDR" provider add "$NAME" --provider x --prefix /x --source "$source"
    assert_one_line "$err"
    assert_has "$err" "may not change the providers of this mount: only root and its owner may"
    expect 5 "$who" "$MINIRDR" provider replace "$NAME" --provider docs --source "$source"
  done
  expect 5 "$who" "$MINIRDR" provider remove "$NAME" --provider docs
  expect 5 "$who" "$MINIRDR" provider remove "$NAME" --provider nobody
done
assert_eq "$(shares)" "$was" "nothing has changed"

say "a provider that is not there"
for verb in "stop --wait" stop start pause resume; do
  # shellcheck disable=SC2086
  expect 5 user "$MINIRDR" ${verb% *} "$NAME" --provider nobody ${verb#"${verb% *}"}
  assert_one_line "$err"
  assert_lacks "$err" docs
  # shellcheck disable=SC2086
  expect 1 member "$MINIRDR" ${verb% *} "$NAME" --provider nobody ${verb#"${verb% *}"}
done

say "what they show"
assert_has "$(member "$MINIRDR" provider list "$NAME")" "local:$TEST_DIR/a"
for ask in "provider list $NAME" "status $NAME --json" "status $NAME --provider docs --json"; do
  # shellcheck disable=SC2086
  expect 0 user "$MINIRDR" $ask
  assert_has "$out" "local:"
  assert_lacks "$out" "local:/"
done
expect 0 member "$MINIRDR" stop "$NAME" --provider docs --wait
expect 0 member "$MINIRDR" start "$NAME" --provider docs
expect 0 rdr provider add "$NAME" --provider x --prefix /x --source memory:

say "a stopped one is waited for"
expect 0 rdr stop "$NAME" --provider docs --wait
"$MINIRDR" watch "$NAME" /srv1/docs >"$TEST_DIR/told" 2>"$TEST_DIR/awaited" &
watcher=$!
wait_until "it says so" grep -q "provider docs: stopped; waiting for its start" "$TEST_DIR/awaited"
expect 0 rdr start "$NAME" --provider docs
wait_until "it watches" grep -q watching "$TEST_DIR/told"
kill "$watcher"
expect 143 wait "$watcher"
