#!/usr/bin/env bash
# TIMEOUT: 120
# S-31, S-38: a stop in the middle of `git clone` and of `git gc`: they fail with a clear error or
# finish; after the start the same command completes, and nothing is corrupt.
. "$TEST_LIB/common.sh"
need git jq
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_CONFIG_NOSYSTEM=1
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q "$TEST_DIR/repo"
for number in $(seq 300); do
  mkdir -p "$TEST_DIR/repo/d$((number % 7))"
  seq "$number" >"$TEST_DIR/repo/d$((number % 7))/f$number"
done
git -C "$TEST_DIR/repo" add -A && git -C "$TEST_DIR/repo" commit -qm all
# during WHAT CONDITION COMMAND... : it is stopped when the condition holds; then started again.
during() {
  local condition=$1 ended=0
  shift
  "$@" >"$TEST_DIR/git" 2>&1 &
  until eval "$condition" 2>/dev/null; do kill -0 $! || fail "it was too quick: $*"; done
  run rdr stop t --wait
  case "$code" in 0 | 10) ;; *) fail "exit $code" ;; esac
  wait $! || ended=$?
  say "$* ended with $ended: $(head -n 1 "$TEST_DIR/git")"
  [ "$ended" = 0 ] || assert_has "$(<"$TEST_DIR/git")" "transport endpoint shutdown"
  expect 0 rdr start t
}
body() {
  during "[ -e here/.git/config ]" git clone -q --no-local "$TEST_DIR/repo" here
  # git takes away what it made of a clone that failed, where it still can.
  rm -rf here
  git clone -q --no-local "$TEST_DIR/repo" here
  git -C here fsck --full --strict && git -C here status --porcelain
  during "[ -e here/.git/gc.pid ]" git -C here gc -q --aggressive --prune=now
  # As git asks for after a crash.
  rm -f here/.git/{gc.pid,packed-refs.new} && find here/.git -name '*.lock' -delete
  git -C here fsck --full --strict
  git -C here gc -q --prune=now
  git -C here fsck --full --strict
  diff -r --exclude=.git "$TEST_DIR/repo" here
}
each_source body
