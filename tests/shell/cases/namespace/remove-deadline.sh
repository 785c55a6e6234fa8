#!/usr/bin/env bash
# TIMEOUT: 60
# S-115: the removal of a provider has the deadlines of a stop: it is taken back and all is as it
# was (12), or goes on draining (11) and is tightened by a later one.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net
expect 0 rdr provider add "$NAME" --provider slow --prefix /slow \
  --source "faulty:local:$TEST_DIR/a" -o read=hang-uncancellable@1
puppet reader
tell reader open f r "$TEST_MNT/slow/f"
assert_eq "$(answer reader)" ok
tell reader read f 9
wait_until "it reads" sh -c "\"$MINIRDR\" requests '$NAME' | grep -q read"
expect 12 rdr provider remove "$NAME" --provider slow --deadline 300ms --on-deadline resume
assert_has "$out" "$NAME provider slow: deadline passed: not removed, running"
assert_has "$(shares)" "slow running /slow"
expect 11 rdr provider remove "$NAME" --provider slow --deadline 300ms --on-deadline stay
assert_has "$out" "still draining"
expect 1 rdr provider replace "$NAME" --provider slow --source memory:
assert_has "$err" 'provider "slow" is being removed (ticket '
# The others can be changed meanwhile.
expect 0 rdr provider add "$NAME" --provider new --prefix /new --source memory:
expect 0 rdr provider remove "$NAME" --provider new
expect 10 rdr provider remove "$NAME" --provider slow --deadline 300ms --on-deadline cancel
assert_has "$out" "$NAME provider slow: removed, 1 handle still open, 1 request given up"
assert_has "$(answer reader)" "error E"
ask_ok reader close f
# What was replaced drains under a name of its own.
expect 0 rdr provider add "$NAME" --provider slow --prefix /slow \
  --source "faulty:local:$TEST_DIR/a" -o read=hang-uncancellable@1
ask_ok reader open f r "$TEST_MNT/slow/f"
tell reader read f 9
wait_until "it reads" sh -c "\"$MINIRDR\" requests '$NAME' | grep -q read"
expect 11 rdr provider replace "$NAME" --provider slow --source "local:$TEST_DIR/b" \
  --deadline 300ms --on-deadline stay
assert_has "$out" "$NAME provider slow: deadline passed: 1 request" "still draining (ticket "
assert_eq "$(look slow/f)" other
left=$(rdr provider list "$NAME" | grep -o '^slow~[0-9]*')
expect 10 rdr stop "$NAME" --provider "$left" --mode abort --wait
answer reader
ask_ok reader close f
