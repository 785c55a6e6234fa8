#!/usr/bin/env bash
# TIMEOUT: 40
# S-20: what changes on the server by another hand is seen, without a lease, when
# the lifetimes of what is cached end.
. "$TEST_LIB/common.sh"
mkdir "$TEST_DIR/back"
echo one >"$TEST_DIR/back/f"
mount_rdr "local:$TEST_DIR/back" -o lease=no
assert_eq "$(cat "$TEST_MNT/f")" one
echo three >"$TEST_DIR/back/f"
shows() { [ "$(cat "$TEST_MNT/f")" = three ]; }
wait_until "the new contents are seen" shows
[ ! -e "$TEST_MNT/g" ]
touch "$TEST_DIR/back/g"
[ -e "$TEST_MNT/g" ] || fail "a missing name was remembered, with negative_timeout at its default 0"
rm "$TEST_DIR/back/g"
seen_gone() { [ ! -e "$TEST_MNT/g" ]; }
wait_until "the name is gone" seen_gone
