#!/usr/bin/env bash
# TIMEOUT: 60
# S-161: with stop_grace, umount gives those inside so long to end, and lets nobody new in; who is
# inside still works on then.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
line noauto,stop_grace=20s memory:
expect 0 mount "$TEST_MNT"
puppet holder
ask_ok holder open f c "$TEST_MNT/f"
umount "$TEST_MNT" 2>"$TEST_DIR/said" &
asked=$!
wait_until "it waits" grep -q "1 holder given 20 s to end" "$TEST_DIR/said"
is_state paused || fail "it is not paused"
ask_ok holder write f text
assert_errno "temporarily unavailable" cat "$TEST_MNT/f"
ask_ok holder close f
wait "$asked"
wait_until "nothing is left" is_gone

say "ended while it waits"
expect 0 mount "$TEST_MNT"
for signal in TERM HUP INT; do
  ask_ok holder open f c "$TEST_MNT/f"
  # INT is ignored by what a shell starts in the background.
  env --default-signal=INT umount.minirdr "$TEST_MNT" 2>"$TEST_DIR/said" &
  asked=$!
  wait_until "it waits" grep -q "given 20 s to end" "$TEST_DIR/said"
  wait_until "it is paused" is_state paused
  kill -"$signal" "$asked"
  code=0
  wait "$asked" || code=$?
  assert_eq "$code" 32 "exit code after $signal"
  is_state running || fail "it stays $(state)"
  ask_ok holder close f
done
expect 0 umount "$TEST_MNT"
wait_until "nothing is left" is_gone

say "too long"
expect 0 mount -o stop_grace=1s "$TEST_MNT"
ask_ok holder open f c "$TEST_MNT/f"
expect 32 umount "$TEST_MNT"
assert_has "$err" "target is busy: 1 holder"
is_state running || fail "it was changed"
ask_ok holder write f text
ask_ok holder close f
