#!/usr/bin/env bash
# TIMEOUT: 60
# S-160: somebody who cannot be seen is inside: umount(8) is refused, and the mount works on. What
# is closed just before is in nobody's way.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
need python3
of_ana
expect 0 ana "$MINIRDR" mount "local:$TEST_DIR/back" "$TEST_MNT" --name t
ana sh -c "echo hello >$TEST_MNT/f"
mkfifo "$TEST_DIR/go"
# Root may not look into a user's mount, but may hold its root; a user sees nothing of that.
python3 -c 'import os, sys
held = os.open(sys.argv[1], os.O_PATH)
open(sys.argv[2], "w").close()
open(sys.argv[3]).read()' "$TEST_MNT" "$TEST_DIR/held" "$TEST_DIR/go" &
wait_until "it is held" test -e "$TEST_DIR/held"
expect 32 ana umount "$TEST_MNT"
assert_has "$err" "$TEST_MNT: target is busy; who is inside cannot be seen from here"
assert_eq "$(ana "$MINIRDR" status t --json | jq -r .mount.state)" running
assert_eq "$(ana cat "$TEST_MNT/f")" hello
expect 0 ana "$MINIRDR" pause t
expect 32 ana umount "$TEST_MNT"
assert_eq "$(ana "$MINIRDR" status t --json | jq -r .mount.state)" paused
expect 0 ana "$MINIRDR" resume t
echo >"$TEST_DIR/go"
wait
expect 0 ana umount "$TEST_MNT"
is_gone || fail "something of the mount is still there"

mkdir "$TEST_DIR/own/back"
line noauto "local:$TEST_DIR/own/back"
export XDG_RUNTIME_DIR=$TEST_DIR/own
for round in 1 2 3 4 5 6 7 8 9 10; do
  mount "$TEST_MNT"
  (cd "$TEST_MNT" && echo "$round" >f && cat f ./* >/dev/null)
  umount "$TEST_MNT" || fail "round $round"
  assert_eq "$(cat "$TEST_DIR/own/back/f")" "$round"
done
