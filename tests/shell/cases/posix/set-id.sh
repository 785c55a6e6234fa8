#!/usr/bin/env bash
# TIMEOUT: 40
# S-15: a write by somebody who is not root takes the set-id bits away.
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
  assert_eq "$(stat -c %a "$TEST_MNT/f")" 777
  expect 0 rdr umount t
done
