#!/usr/bin/env bash
# TIMEOUT: 120
# S-11: git clones into a mount, commits there, and finds nothing wrong.
. "$TEST_LIB/common.sh"
need git
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_CONFIG_NOSYSTEM=1
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q "$TEST_DIR/repo"
for number in $(seq 200); do
  mkdir -p "$TEST_DIR/repo/d$((number % 7))"
  seq "$number" >"$TEST_DIR/repo/d$((number % 7))/f$number"
done
git -C "$TEST_DIR/repo" add -A && git -C "$TEST_DIR/repo" commit -qm all
body() {
  git clone -q --no-local "$TEST_DIR/repo" here
  git -C here fsck --full --strict
  assert_eq "$(git -C here status --porcelain)" ""
  echo more >>here/d1/f1 && git -C here mv d1/f8 d2/moved && git -C here commit -qam more
  git -C here gc -q --prune=now
  git -C here fsck --full --strict
  diff -r --exclude=.git <(git -C here ls-files) <(cd here && git ls-files)
  git -C here checkout -q HEAD~1 && diff -r --exclude=.git "$TEST_DIR/repo" here
}
each_source body
