#!/usr/bin/env bash
# TIMEOUT: 60
# S-167, S-168: under a lease what we do ourselves costs nothing of the cache; and a start begins
# with nothing remembered, for what changed meanwhile was told to nobody.
. "$TEST_LIB/common.sh"
need_root # a lease takes its rights
mkdir "$TEST_DIR/back"
mount_rdr "local:$TEST_DIR/back" -o lease_timeout=1h
own=$TEST_MNT/own
asked() {
  rdr metrics "$NAME" | awk -v op="op=\"$1\"" '/_duration_seconds_count/ && $0 ~ op { print $2 }'
}
head -c 1000000 /dev/urandom >"$own"
cat "$own" >/dev/null
reads=$(asked read) opens=$(asked open) looks=$(asked lookup)
cmp "$own" "$TEST_DIR/back/own"
cat "$own" >/dev/null
assert_eq "$(asked read)" "$reads" "reads"
assert_eq "$(asked lookup)" "$looks" "lookups"
[ "$(asked open)" -gt "$opens" ] || fail "an open is asked for"
rdr stop "$NAME" --wait >/dev/null
echo meanwhile >"$TEST_DIR/back/own"
rdr start "$NAME" >/dev/null
rdr wait "$NAME" --for running >/dev/null
assert_eq "$(cat "$own")" meanwhile
