#!/usr/bin/env bash
# TIMEOUT: 60
# S-161: each way of umount(8) is the orderly one: -c, -R, -l with somebody inside, whose file works
# on, -f, which cuts him off; and fusermount3 -u, which runs no helper.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
mkdir "$TEST_DIR/back"
line noauto
puppet holder
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

say "busy: -c, -R"
again
ask_ok holder open f c "$TEST_MNT/held"
for way in -c -R; do
  expect 32 umount "$way" "$TEST_MNT"
  assert_has "$err" "target is busy: 1 holder" "holder["
done
say "-l: it works on"
expect 0 umount -l "$TEST_MNT"
assert_has "$err" "detached; its daemon serves 1 holder still"
expect 0 rdr list
assert_has "$out" "($TEST_MNT)"
ask_ok holder write f text
ask_ok holder close f
over
assert_eq "$(cat "$TEST_DIR/back/held")" text
say "-f: it is cut off"
again
ask_ok holder open f c "$TEST_MNT/held"
expect 32 umount -f "$TEST_MNT"
assert_has "$err" "1 handle still open" "holder["
ask_error holder ESHUTDOWN write f text
ask_ok holder close f
expect 0 umount "$TEST_MNT"
over
say "a working directory is inside, too"
again
ask_ok holder cd "$TEST_MNT"
expect 32 umount "$TEST_MNT"
assert_has "$err" cwd
