#!/usr/bin/env bash
# TIMEOUT: 120
# namespace.md, invariant 5: a delete storm with invalidation completes. Thousands of files are
# removed through the mount and behind its back, in a directory that is watched, so that every
# removal is told to the kernel; while other prefixes change hands. No thread of the daemon is ever
# stuck in the kernel, and the mount goes on.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net -o entry_timeout=60,attr_timeout=60,negative_timeout=60
pid=$(daemon_pid)
mkdir "$TEST_DIR/a/through" "$TEST_DIR/a/behind"
make() { (cd "$1" && seq -f 'f%g' 2000 | xargs touch); }
make "$TEST_DIR/a/behind"
timeout 60 bash -c "$(declare -f make); make '$TEST_MNT/srv1/docs/through'"
# The kernel knows every one.
assert_eq "$(timeout 30 find "$TEST_MNT/srv1/docs" -type f -newermt 2000-01-01 | wc -l)" 4001
timeout 100 "$MINIRDR" watch "$NAME" /srv1/docs/behind >"$TEST_DIR/behind" &
timeout 100 "$MINIRDR" watch "$NAME" /srv1/docs/through >"$TEST_DIR/through" &
both_watch() { grep -q watching "$TEST_DIR/behind" && grep -q watching "$TEST_DIR/through"; }
wait_until "both are followed" both_watch
# Looks at the daemon's threads: one that is in the D state at three looks in a row, a second apart,
# is stuck there. Says so, or that it has looked.
mkfifo "$TEST_DIR/over"
python3 - "$pid" "$TEST_DIR/over" >"$TEST_DIR/threads" <<'PY' &
import os, select, sys
pid, over = sys.argv[1], os.open(sys.argv[2], os.O_RDONLY | os.O_NONBLOCK)
looks, stuck = {}, None
while stuck is None and not select.select([over], [], [], 1)[0]:
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            state = open(f"/proc/{pid}/task/{thread}/stat").read().rpartition(")")[2].split()[0]
        except OSError:
            continue
        looks[thread] = looks.get(thread, 0) + 1 if state == "D" else 0
        if looks[thread] >= 3:
            stuck = thread
print("stuck" if stuck else "none is stuck")
PY
looks=$!
timeout 90 rm -rf "$TEST_MNT/srv1/docs/through" &
through=$!
rm -rf "$TEST_DIR/a/behind" &
behind=$!
for to in b a b a; do
  expect 0 rdr provider replace "$NAME" --provider scratch --source "local:$TEST_DIR/$to"
done
wait "$through" || fail "the storm through the mount did not complete"
wait "$behind"
# What was removed behind the mount's back is gone in it, although names are believed for 60 s.
is_empty() { [ "$(listing srv1/docs)" = f ]; }
wait_until "the mount shows it" is_empty
echo >"$TEST_DIR/over"
wait "$looks"
assert_eq "$(cat "$TEST_DIR/threads")" "none is stuck"
ended_watches() { grep -q gone "$TEST_DIR/behind" && grep -q gone "$TEST_DIR/through"; }
wait_until "both watches have seen the end" ended_watches
assert_eq "$(look srv1/docs/f)" one
expect 0 rdr stop "$NAME" --wait
