#!/usr/bin/env bash
# TIMEOUT: 60
# S-161: a user unmounts by umount(8) what he has mounted by minirdr, without a line in fstab: when
# somebody is inside it is refused, detached with -l, cut off with -f.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
of_ana
mkfifo "$TEST_DIR/go"
chmod 666 "$TEST_DIR/go"
again() {
  expect 0 ana "$MINIRDR" mount "local:$TEST_DIR/back" "$TEST_MNT" --name t
  pid=$(ana "$MINIRDR" status t --json | jq .mount.pid)
  rm -f "$TEST_DIR/tmp/open"
}
hold() { # hold : a program of the user's has a file open until it is let go
  ana sh -c "exec 9>$TEST_MNT/held; touch $TEST_DIR/tmp/open; read -r line <$TEST_DIR/go
    echo text >&9" &
  holder=$!
  wait_until "the file is open" test -e "$TEST_DIR/tmp/open"
}
over() {
  wait_until "the daemon has ended" ended "$pid"
  wait_until "its socket is gone" socket_gone
}
again
expect 0 ana umount "$TEST_MNT"
assert_eq "$out$err" ""
over
again
hold
expect 32 ana umount "$TEST_MNT"
assert_has "$err" "target is busy: 1 holder" "sh["
expect 0 ana umount -l "$TEST_MNT"
assert_has "$err" "detached; its daemon serves 1 holder still"
is_mounted "$TEST_MNT" && fail "still in the namespace"
expect 0 ana "$MINIRDR" list
assert_has "$out" "($TEST_MNT)"
echo >"$TEST_DIR/go"
wait "$holder"
over
assert_eq "$(cat "$TEST_DIR/back/held")" text
again
hold
expect 32 ana umount -f "$TEST_MNT"
assert_has "$err" "1 handle still open"
echo >"$TEST_DIR/go"
wait "$holder" && fail "it was not cut off"
wait_until "it can be unmounted" ana umount "$TEST_MNT"
over
