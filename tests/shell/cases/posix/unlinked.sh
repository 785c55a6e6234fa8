#!/usr/bin/env bash
# TIMEOUT: 40
# S-12: a file that was unlinked or renamed over while open keeps working until it is closed.
. "$TEST_LIB/common.sh"
puppet holder
body() {
  echo old >f && echo new >g
  ask_ok holder open f rw "$TEST_MNT/f"
  mv g f
  assert_eq "$(ask holder read f 10)" "ok 4 old"
  ask_ok holder open h c "$TEST_MNT/h"
  rm h
  ask_ok holder write h "still here"
  ask_ok holder truncate h 5
  assert_eq "$(ask holder pread h 0 20)" "ok 5 still"
  ask_ok holder fsync h
  ask_ok holder close h
  ask_ok holder close f
  assert_eq "$(cat f)" new
  assert_eq "$(ls -A)" f
}
each_source body
