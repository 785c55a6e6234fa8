#!/usr/bin/env bash
# TIMEOUT: 60
# S-114: a provider that is removed is stopped in the orderly way, alone; what is open of it is
# told, and is there until it is closed (S-118).
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net
puppet holder
puppet other
timeout 10 sh -c "echo text >'$TEST_MNT/srv2/tmp/g'"
ask_ok other open g rw "$TEST_MNT/srv2/tmp/g"
ask_ok holder open f r "$TEST_MNT/srv1/docs/f"
expect 1 rdr provider remove "$NAME" --provider nobody
assert_eq "$err" "minirdr: $NAME: there is no provider \"nobody\" (known: docs, scratch)"
# Busy, and to be left alone then.
expect 10 rdr provider remove "$NAME" --provider docs --if-busy refuse
assert_has "$out" "$NAME provider docs: not removed: 1 handle open" "srv1/docs/f" "holder["
assert_eq "$(ask holder read f 9)" "ok 4 one"
expect 10 rdr stop "$NAME" --provider docs --check
assert_has "$out" "$NAME provider docs: would wait for 1 holder" "srv1/docs/f"
assert_lacks "$out" srv2
expect 10 rdr provider remove "$NAME" --provider docs --reason "not any more"
assert_has "$out" "srv1/docs/f" "holder[" \
  "$NAME provider docs: removed, 1 handle still open, nothing unsent"
assert_has "$err" "accepted (ticket "
assert_errno "No such file or directory" timeout 10 cat "$TEST_MNT/srv1/docs/f"
assert_eq "$(timeout 10 ls "$TEST_MNT/srv1")" scratch
ask_error holder ESTALE read f 9
assert_eq "$(ask other read g 9)" "ok 5 text" "others are untouched"
# It has left and is there still: in the sums, and by a name of its own.
expect 0 rdr provider list "$NAME"
assert_has "$out" "docs~1    left "
assert_eq "$(rdr status "$NAME" --json | jq .mount.open_handles)" 2
paths=$(rdr handles "$NAME" --json | jq -r '[.handles[].path] | sort | join(" ")')
assert_eq "$paths" "srv1/docs/f srv2/tmp/g"
expect 1 rdr start "$NAME" --provider docs~1
assert_has "$err" "has left the mount"
# The name and the prefix are free at once.
expect 0 rdr provider add "$NAME" --provider docs --prefix /srv1/docs --source "local:$TEST_DIR/b"
assert_eq "$(look srv1/docs/f)" other
ask_error holder ESTALE read f 9
ask_ok holder close f
wait_until "nothing of it is known" have_shares \
  "docs running /srv1/docs,scratch running /srv1/scratch,scratch running /srv2/tmp"
# The record on disk says what there is.
record=$XDG_STATE_HOME/minirdr/$NAME/mount.json
[ -e "$record" ] || record=/var/lib/minirdr/$NAME/mount.json
kept() { jq -e '[.providers[].name] == ["scratch", "docs"]' "$record"; }
wait_until "the record says so" kept
# Without waiting: a ticket, and its result for whoever waits.
expect 0 rdr provider remove "$NAME" --provider docs --no-wait --json
ticket=$(jq .ticket <<<"$out")
assert_eq "$(jq -r '.result, .provider' <<<"$out" | paste -sd' ' -)" "pending docs"
expect 0 rdr wait "$NAME" --ticket "$ticket"
assert_eq "$out" "$NAME provider docs: removed, nothing unsent" "a ticket knows what it was for"
expect 0 rdr events "$NAME" --json
last='.events | map(select(.ticket == $t))[-1] | "\(.kind) \(.provider) \(.result)"'
assert_eq "$(jq -r --argjson t "$ticket" "$last" <<<"$out")" "provider_removed docs success"
