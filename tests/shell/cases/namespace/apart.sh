#!/usr/bin/env bash
# TIMEOUT: 60
# Shares of one mount are apart: nothing is renamed or linked from one to another, and nobody
# changes the directories above them.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net
cd "$TEST_MNT"
# Nothing goes from one share to another, but by a copy; mv makes one.
assert_errno "Invalid cross-device link" timeout 10 ln srv1/docs/f srv1/scratch/hard
move='import os; os.rename("srv1/docs/f", "srv1/scratch/moved")'
assert_errno "Errno 18" timeout 10 python3 -c "$move"
timeout 10 mv srv1/docs/f srv2/tmp/f
assert_eq "$(timeout 10 cat srv2/tmp/f)" one
[ ! -e "$TEST_DIR/a/f" ] || fail "it is still there"
# The directories above the shares are the router's.
for change in "mkdir srv1/new" "touch new" "rmdir srv2" "mv srv1 srv9" "ln -s x srv1/link" \
  "chmod 700 srv1"; do
  assert_errno "Read-only file system" timeout 10 $change
done
assert_errno "No such file or directory" timeout 10 cat srv1/none/f
assert_errno "No such file or directory" timeout 10 cat srv9
# The root sums nothing up; a share says what its server has.
assert_eq "$(timeout 10 stat -f -c %b .)" 0
[ "$(timeout 10 stat -f -c %b srv1/docs)" -gt 0 ] || fail "no volume"
cd /
