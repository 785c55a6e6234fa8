#!/usr/bin/env bash
# TIMEOUT: 60
# S-165: while root waits for a user's daemon, the user puts a link in place of a directory above
# the mount point: nothing behind that link is unmounted.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
of_ana
ana mkdir -p "$TEST_DIR/home/d/mnt"
mkdir -p "$TEST_DIR/victim/mnt"
mount -t tmpfs none "$TEST_DIR/victim/mnt"
expect 0 ana "$MINIRDR" mount memory: "$TEST_DIR/home/d/mnt" --name t
pid=$(ana "$MINIRDR" status t --json | jq .mount.pid)
kill -STOP "$pid"
umount.minirdr -l "$TEST_DIR/home/d/mnt" 2>"$TEST_DIR/said" &
asked=$!
# It has resolved the path when it waits for an answer.
asks() { ls -l "/proc/$asked/fd" | grep -q socket; }
wait_until "it asks" asks
ana mv "$TEST_DIR/home/d" "$TEST_DIR/home/d2"
ana ln -s "$TEST_DIR/victim" "$TEST_DIR/home/d"
code=0
wait "$asked" || code=$?
is_mounted "$TEST_DIR/victim/mnt" || fail "the victim's mount is gone"
is_mounted "$TEST_DIR/home/d2/mnt" || fail "it was unmounted by another name"
[ "$code" != 0 ] || fail "it says that it was unmounted"
assert_one_line "$(<"$TEST_DIR/said")"
kill -CONT "$pid"
expect 0 umount.minirdr "$TEST_DIR/home/d2/mnt"
assert_has "$err" "its daemon finishes what it owes"
wait_until "the daemon has ended" ended "$pid"
umount "$TEST_DIR/victim/mnt"
