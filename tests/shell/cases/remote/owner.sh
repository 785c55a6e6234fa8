#!/usr/bin/env bash
# TIMEOUT: 60
# S-66, S-72; management.md §7, 6: the owner of a mount need not be root: he and root may stop it
# and its listening; a third user may not, nor a network; what is denied has changed nothing.
. "$TEST_LIB/common.sh"
need_user
need python3 jq
mkdir -m 755 "$TEST_DIR/managed"
chown -R 65534:65534 "$TEST_DIR"/{run,state,tmp,home,mnt,managed}
chmod 755 "$TEST_DIR/run"
socket=$TEST_DIR/managed/NAME
port=$(python3 -c 'import socket
print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
endpoints=(--rpc "ncacn_ip_tcp:127.0.0.1[$port]" --rpc "ncalrpc:[$socket]")
tcp() { python3 "$TEST_LIB/remote.py" 127.0.0.1 "$port" "$@"; }
unix() { python3 "$TEST_LIB/remote.py" unix "$socket" "$@"; }
stranger() { setpriv --reuid 65533 --regid 65533 --clear-groups "$@"; }
events() { rdr events t --json | jq ".events | $1"; }
denied() {
  expect 5 "$@"
  assert_has "$err" "may not"
}

for owner in 65534 0; do
  say "asked by user $owner"
  as() { if [ "$owner" = 0 ]; then "$@"; else user "$@"; fi; }
  expect 0 user "$MINIRDR" mount memory: "$TEST_MNT" --name t "${endpoints[@]}"
  assert_eq "$(daemon_pid | xargs -I{} stat -c %u /proc/{})" 65534 "the daemon's user"
  assert_eq "$(tcp 3)" 5 "from a network, though root asks"
  assert_eq "$(unix 3 65533)" 5 "by a third user"
  for verb in stop start pause resume; do denied stranger "$MINIRDR" "$verb" t; done
  denied stranger "$MINIRDR" umount t
  assert_eq "$(unix 2 65533)" "0 1" "it listens"
  is_state running || fail "it is $(state)"
  others='[.[] | select(.kind | IN("started", "save_config") | not)] | length'
  assert_eq "$(events "$others")" 0 events

  assert_eq "$(unix 3 "$owner")" 0 "by the owner or root"
  wait_until "the socket is gone" test ! -e "$socket"
  expect 0 as "$MINIRDR" stop t --wait
  assert_eq "$(events '[.[] | select(.asked_by).asked_by.uid] | unique[]')" "$owner" "who asked"
  expect 0 as "$MINIRDR" umount t
  ! is_mounted "$TEST_MNT" || fail "still mounted"
done
