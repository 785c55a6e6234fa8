#!/usr/bin/env bash
# TIMEOUT: 60
# S-120: who is in a directory above the shares is in it still when the mount was stopped and
# started.
# S-121: every name of a stopped mount is refused as the mount is, and counted.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net
puppet inside
ask_ok inside cd "$TEST_MNT/srv1"
number=$(timeout 10 stat -c %i "$TEST_MNT/srv1")
ask_ok inside open f r docs/f && ask_ok inside close f
before=$(rdr status "$NAME" --json | jq .mount.refused_total)
expect 0 rdr stop "$NAME" --wait
for command in "cat $TEST_MNT/srv1/docs/f" "ls $TEST_MNT/srv9"; do
  assert_errno "Cannot send after transport endpoint shutdown" timeout 10 $command
done
ask_error inside ESHUTDOWN open f r docs/f
run rdr status "$NAME" --json
after=$(jq .mount.refused_total <<<"$out")
[ "$after" -ge $((before + 3)) ] || fail "not counted: $before, $after"
expect 0 rdr start "$NAME"
ask_ok inside open f r docs/f
assert_eq "$(ask inside read f 9)" "ok 4 one"
assert_eq "$(timeout 10 stat -c %i "$TEST_MNT/srv1")" "$number"
# Also over a provider that goes and comes while another is in the same directory.
expect 0 rdr provider remove "$NAME" --provider scratch
expect 0 rdr provider add "$NAME" --provider scratch --prefix /srv1/scratch --source memory:
ask_ok inside open g c scratch/g
assert_eq "$(timeout 10 stat -c %i "$TEST_MNT/srv1")" "$number"
ask_ok inside close f && ask_ok inside close g && ask_ok inside cd /
