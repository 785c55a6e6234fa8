#!/usr/bin/env bash
# TIMEOUT: 40
# S-33: a holder in another pid namespace has a number there that means another process here: it is
# named by its number here, as /proc shows it, or as `?`; never by the wrong one.
. "$TEST_LIB/common.sh"
need_root
need jq unshare
mount_rdr memory:
echo text >"$TEST_MNT/f"
unshare --pid --fork --mount-proc sh -c \
  "exec 3<$TEST_MNT/f && echo \$\$ >$TEST_DIR/inside && exec tail -f /dev/null <&3" &
wait_until "it holds the file" test -s "$TEST_DIR/inside"
assert_eq "$(<"$TEST_DIR/inside")" 1 "its number there"
here=$(pgrep -P $! -x tail)
expect 10 rdr stop t --check --json
pids=$(jq '[.holders[] | select(.path == "f") | .pid // 0] | unique | .[]' <<<"$out")
for pid in $pids; do
  case "$pid" in 0 | "$here") ;; *) fail "pid $pid has nothing to do with it ($here has)" ;; esac
done
[ -n "$pids" ] || fail "nobody is named: $out"
expect 10 rdr stop t --check
assert_lacks "$out" "[1]"
kill -9 "$here" # it is the first of its namespace: nothing else ends it
wait || :
expect 0 rdr stop t --check
