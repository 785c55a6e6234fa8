#!/usr/bin/env bash
# TIMEOUT: 60
# S-83: somebody is inside when the unit is stopped. ExecStop stops the mount and names him (10),
# the process stays and says no STOPPING; TERM then detaches the mount, and that is its end.
. "$TEST_LIB/common.sh"
need python3
need_fuse
unit="$TEST_LIB/../../../contrib/systemd/minirdr@.service"
mkdir -p "$TEST_DIR"/etc/minirdr
printf '%s\n' "MINIRDR_SOURCE=memory:" "MINIRDR_DIRECTORY=$TEST_MNT" \
  "MINIRDR_ARGS=--log $TEST_DIR/daemon.log" >"$TEST_DIR/etc/minirdr/t.env"
mkfifo "$TEST_DIR/manager.in"
python3 "$TEST_LIB/manager.py" "$unit" t "$TEST_DIR/etc" <"$TEST_DIR/manager.in" \
  >"$TEST_DIR/manager.out" 2>&1 &
manager=$!
exec {stop}>"$TEST_DIR/manager.in"
wait_until "it is ready" grep -q READY=1 "$TEST_DIR/manager.out"
puppet p
ask_ok p cd "$TEST_MNT"
echo stop >&"$stop"
expect 0 wait "$manager"
out=$(<"$TEST_DIR/manager.out")
echo "$out"
assert_has "$out" "ExecStop ended with 10" "TERM to the main process" "STOPPING=1" \
  "the main process ended with 0"
assert_lacks "$(sed '/TERM to the main process/,$d' <<<"$out")" STOPPING
is_gone || fail "the mount or its socket is still there"
