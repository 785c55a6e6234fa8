#!/usr/bin/env bash
# TIMEOUT: 60
# S-91, S-94: by file nobody may what he may not on the socket, and what went wrong is told without
# paths to who may not see them.
. "$TEST_LIB/common.sh"
need_root
need setpriv timeout
member() { setpriv --reuid 65534 --regid 65534 --groups 54321 "$@"; }
chmod 755 "$TEST_DIR/run"

# Who may not read on the socket may not by file either; an abort is a stop there too.
mount_rdr memory: -o allow_other,control_group=54321 -o control_deny=other:read \
  -o control_allow=group:abort,control_deny=group:stop
expect 5 user "$MINIRDR" status t
for file in status handles events; do
  assert_errno "Permission denied" user timeout 5 head -c 1 "$TEST_MNT/.minirdr/$file"
  expect 0 member timeout 5 head -c 1 "$TEST_MNT/.minirdr/$file"
done
expect 5 member "$MINIRDR" stop t --mode abort
expect 1 member sh -c "echo 'stop --mode abort' >'$TEST_MNT/.minirdr/control'"
is_state running || fail "it is $(state)"

# What went wrong is told to everybody; where it did is a path.
expect 0 rdr umount t
mount_rdr memory: -o allow_other --rpc="ncalrpc:[$TEST_DIR/run/rpc]"
rm -r "$TEST_DIR/state/minirdr/t" && touch "$TEST_DIR/state/minirdr/t"
run rdr stop t --wait
for ask in 'cat "$TEST_MNT/.minirdr/status"' '"$MINIRDR" status t --json' '"$MINIRDR" status t'; do
  run user sh -c "$ask"
  assert_has "$out" "its configuration is not kept"
  assert_lacks "$out" "$TEST_DIR/state" "$TEST_DIR/run"
  run sh -c "$ask"
  assert_has "$out" "its configuration is not kept: " "$TEST_DIR/state/minirdr/t"
done
rm "$TEST_DIR/state/minirdr/t"
