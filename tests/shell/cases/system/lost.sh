#!/usr/bin/env bash
# TIMEOUT: 60
# S-161: what umount -f gives up on is named on stderr, and the plain umount that follows says that
# it is kept.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
. "$TEST_LIB/unsent.sh"
at_home
mkdir "$TEST_DIR/back"
line noauto,write=hang-uncancellable#1 "faulty:local:$TEST_DIR/back"
expect 0 mount "$TEST_MNT"
puppet holder
ask_ok holder open f c "$TEST_MNT/f"
tell holder write f text
wait_until "the write hangs" hangs
took_less 15 expect 32 umount -f "$TEST_MNT"
assert_has "$err" "umount.minirdr: t: " "NOT saved: 1 file, 4 B" "kept in $UNSENT/"
assert_eq "$out" ""
assert_has "$(answer holder)" "error ETIMEDOUT"
ask_ok holder close f
expect 0 umount "$TEST_MNT"
assert_has "$err" "minirdr unsent t"
wait_until "nothing is left" is_gone
say "and the next mount says so"
expect 0 mount "$TEST_MNT"
assert_eq "$out" ""
assert_has "$err" "minirdr unsent t"
expect 0 umount "$TEST_MNT"
