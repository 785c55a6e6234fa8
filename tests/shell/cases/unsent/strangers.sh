#!/usr/bin/env bash
# TIMEOUT: 40
# S-54: another user sees that something is unsent, but not what, and may neither replay nor
# discard it.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/unsent.sh"
need_root
need jq python3 setpriv
mkdir "$TEST_DIR/back"
printf 'old' >"$TEST_DIR/back/secret"
mount_rdr "faulty:local:$TEST_DIR/back" -o write=hang-uncancellable#1
lose one secret "new"
chmod 755 "$XDG_RUNTIME_DIR"
stranger() { user env XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" "$MINIRDR" "$@"; }
expect 0 stranger unsent t
assert_has "$out" "t: 1 unsent write, 3 B"
assert_lacks "$out" "secret"
assert_lacks "$out" "$UNSENT"
expect 0 rdr start t
for what in --replay --discard; do
  expect 5 stranger unsent t "$what"
  assert_one_line "$err"
  assert_has "$err" "replay or discard what is unsent of this mount: only root and its owner may"
done
assert_eq "$(kept)" 1
expect 0 rdr umount t
expect 3 stranger unsent t
expect 0 rdr unsent t --discard
