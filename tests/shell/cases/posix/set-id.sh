#!/usr/bin/env bash
# TIMEOUT: 40
# S-15, S-20: a write by somebody who is not root takes the set-id bits away: on the server at once,
# in what the kernel remembers of the mode when that has run out.
. "$TEST_LIB/common.sh"
need_root
need setpriv
mkdir "$TEST_DIR/back"
for source in memory: "local:$TEST_DIR/back"; do
  mount_rdr "$source" -o allow_other
  chmod 777 "$TEST_MNT"
  echo x >"$TEST_MNT/f" && chmod 6777 "$TEST_MNT/f"
  assert_eq "$(stat -c %a "$TEST_MNT/f")" 6777
  setpriv --reuid 99 --regid 99 --clear-groups sh -c "echo more >>'$TEST_MNT/f'"
  case "$source" in local:*) assert_eq "$(stat -c %a "$TEST_DIR/back/f")" 777 ;; esac
  gone() { [ "$(stat -c %a "$TEST_MNT/f")" = 777 ]; }
  wait_until "the bits are gone" gone
  expect 0 rdr umount t
done
