#!/usr/bin/env bash
# TIMEOUT: 60
# S-116: another source takes a provider's place: the next open has its bytes, however long names
# are believed; what was open of the old is stale, is told, and is closed there.
# S-117: one that does not start changes nothing.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net -o entry_timeout=60,attr_timeout=60
puppet holder
puppet other
timeout 10 sh -c "echo text >'$TEST_MNT/srv2/tmp/g'"
ask_ok other open g r "$TEST_MNT/srv2/tmp/g"
ask_ok holder open f rw "$TEST_MNT/srv1/docs/f"
assert_eq "$(look srv1/docs/f)" one
was=$(shares)
expect 1 rdr provider replace "$NAME" --provider docs --source faulty:memory: -o start=error:EIO
assert_has "$err$out" "$NAME provider docs: not replaced: MRxStart failed"
expect 1 rdr provider replace "$NAME" --provider docs --source local:/nowhere
assert_one_line "$err"
expect 1 rdr provider replace "$NAME" --provider docs --source memory: --deadline 1s \
  --on-deadline resume
assert_has "$err" "what was replaced cannot be resumed"
expect 10 rdr provider replace "$NAME" --provider docs --source memory: --if-busy refuse
assert_has "$out" "not replaced: 1 handle open" "srv1/docs/f"
expect 1 rdr provider replace "$NAME" --provider nobody --source memory:
assert_has "$err" 'there is no provider "nobody"'
assert_eq "$(shares)" "$was" "nothing has changed"
assert_eq "$(ask holder read f 9)" "ok 4 one"
owner() { rdr provider list "$NAME" --json | jq '.providers[] | select(.name == "docs").owner'; }
before=$(owner)
expect 10 rdr provider replace "$NAME" --provider docs --source "local:$TEST_DIR/b"
assert_has "$out" "srv1/docs/f" "holder[" \
  "$NAME provider docs: replaced, 1 handle still open, nothing unsent"
assert_eq "$(look srv1/docs/f)" other "the new bytes"
ask_error holder ESTALE read f 9
ask_error holder ESTALE write f lost
assert_eq "$(ask other read g 9)" "ok 5 text"
expect 0 rdr events "$NAME" --json
assert_eq "$(jq -r '.events | map(select(.kind == "prefix_taken" and .from == "docs"))[0].prefix' \
  <<<"$out")" /srv1/docs "the hand-over is told"
[ "$(owner)" -gt "$before" ] || fail "a handle of the router was used again: $before"
ask_ok holder close f
wait_until "the old one is gone" have_shares "$was"
# Stopped, and replaced: it runs again.
expect 0 rdr stop "$NAME" --provider docs --wait
expect 0 rdr provider replace "$NAME" --provider docs --source "local:$TEST_DIR/a"
assert_eq "$(look srv1/docs/f)" one
# Of several prefixes all change hands.
expect 10 rdr provider replace "$NAME" --provider scratch --source "local:$TEST_DIR/b"
assert_eq "$(look srv1/scratch/f) $(look srv2/tmp/f)" "other other"
# The whole mount stops and starts with what there is now.
expect 10 rdr stop "$NAME" --wait
expect 0 rdr start "$NAME"
assert_eq "$(look srv1/docs/f) $(look srv2/tmp/f)" "one other"
