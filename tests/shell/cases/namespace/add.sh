#!/usr/bin/env bash
# TIMEOUT: 60
# S-113: a provider is added to a mount that runs; the others never notice.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net
puppet holder
ask_ok holder open f r "$TEST_MNT/srv1/docs/f"
assert_errno "No such file or directory" timeout 10 cat "$TEST_MNT/srv3/x/f"
cd "$TEST_DIR"
expect 0 rdr provider add "$NAME" --provider more --prefix /srv3/x --prefix /srv1/y --source local:b
assert_eq "$out" "$NAME provider more: added"
assert_eq "$(look srv3/x/f) $(look srv1/y/f)" "other other"
assert_eq "$(ask holder read f 9)" "ok 4 one"
more="more running /srv3/x,more running /srv1/y"
assert_eq "$(shares)" \
  "docs running /srv1/docs,$more,scratch running /srv1/scratch,scratch running /srv2/tmp"
expect 0 rdr provider add "$NAME" --provider wait --prefix /wait --source memory: --no-wait --json
assert_eq "$(jq -r '.result, .provider' <<<"$out" | paste -sd' ' -)" "pending wait"
expect 0 rdr wait "$NAME" --ticket "$(jq .ticket <<<"$out")"
timeout 10 sh -c "echo x >'$TEST_MNT/wait/x'"
# A mount of one source has no providers.
mkdir "$TEST_DIR/one"
expect 0 rdr mount memory: "$TEST_DIR/one" --name single
expect 1 rdr provider add single --provider new --prefix /new --source memory:
assert_has "$err" "single has one source and no providers"
expect 0 rdr provider list single
assert_eq "$out" "single: memory:, no providers"
expect 0 rdr umount single
