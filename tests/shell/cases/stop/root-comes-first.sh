#!/usr/bin/env bash
# TIMEOUT: 60
# S-77: a user's own mount, stopped by its user for ever; root's stop has its deadline, and the user
# does not take it back.
. "$TEST_LIB/common.sh"
need_user
chown -R 65534:65534 "$TEST_DIR"/{run,state,tmp,home,mnt}
expect 0 user "$MINIRDR" mount faulty:memory: "$TEST_MNT" --name t -o read=hang-uncancellable
user sh -c "echo content >$TEST_MNT/f"
user cat "$TEST_MNT/f" >/dev/null 2>&1 &
reading() { [ "$(rdr status t --json | jq .mount.requests_in_flight)" != 0 ]; }
wait_until "the read hangs" reading
expect 0 user "$MINIRDR" stop t --deadline 1h --on-deadline stay
assert_has "$out" pending
expect 0 user "$MINIRDR" resume t
expect 0 user "$MINIRDR" stop t --deadline 1h --on-deadline stay
# Root's, with no deadline of its own yet, is not the user's to take back.
expect 0 rdr stop t
assert_has "$out" "already stopping (ticket"
expect 5 user "$MINIRDR" resume t
assert_one_line "$err"
assert_has "$err" "only root may take it back"
is_state stopping || fail "it was taken back"
from=$SECONDS
run rdr stop t --wait --deadline 1s --on-deadline cancel
case "$code" in 0 | 10) ;; *) fail "exit $code" ;; esac
[ $((SECONDS - from)) -lt 15 ] || fail "took $((SECONDS - from)) s"
is_state stopped || fail "it is $(state)"
