#!/usr/bin/env bash
# TIMEOUT: 30
# S-39: a handle from before a stop works again after the start, if the server has the file still.
. "$TEST_LIB/common.sh"
need jq
mkdir "$TEST_DIR/back"
for source in memory: "local:$TEST_DIR/back"; do
  mount_rdr "$source"
  puppet "holder${source%%:*}"
  who=holder${source%%:*}
  ask_ok "$who" open f c "$TEST_MNT/f"
  ask_ok "$who" write f before
  expect 10 rdr stop t --wait
  ask_error "$who" ESHUTDOWN write f between
  expect 0 rdr start t
  assert_eq "$(rdr status t --json | jq .mount.survivors)" 0
  ask_ok "$who" write f " after"
  assert_eq "$(ask "$who" pread f 0 20)" "ok 12 before after"
  ask_ok "$who" close f
  assert_eq "$(cat "$TEST_MNT/f")" "before after"
  expect 0 rdr umount t
done
