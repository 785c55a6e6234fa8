#!/usr/bin/env bash
# TIMEOUT: 60
# S-161: when nobody is inside, each way of umount(8) returns when all is saved and the daemon gone.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
mkdir "$TEST_DIR/back"
line noauto
again() {
  expect 0 mount "$TEST_MNT"
  pid=$(daemon_pid)
  assert_has "$(utab)" helper=minirdr
}
over() {
  wait_until "the daemon has ended" ended "$pid"
  is_gone || fail "something of the mount is still there"
  assert_eq "$(utab)" "" "what libmount knows"
}
for way in -c -R -v -l -f; do
  say "umount $way"
  again
  echo "$way" >"$TEST_MNT/f"
  expect 0 umount "$way" "$TEST_MNT"
  assert_eq "$err" ""
  over
  assert_eq "$(cat "$TEST_DIR/back/f")" "$way"
done
