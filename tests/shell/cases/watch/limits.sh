#!/usr/bin/env bash
# TIMEOUT: 60
# S-139: where the system has no room for another watch, the message names the limit that is met,
# and the mount goes on. In a user namespace, whose limits are its own.
. "$TEST_LIB/common.sh"
need unshare
if [ "${1-}" != inside ]; then
  unshare -Urm true || skip "needs user namespaces"
  expect 0 unshare -Urm "$BASH" "$0" inside
  exit
fi
limit() { echo "$2" >"/proc/sys/user/max_inotify_$1"; }
mkdir "$TEST_DIR/srv" "$TEST_DIR/srv/docs"
mount_rdr "local:$TEST_DIR/srv"
limit watches 0
expect 1 rdr watch t /docs
assert_has "$err" "cannot watch /docs" fs.inotify.max_user_watches
assert_one_line "$err"
limit watches 100
limit instances 0
expect 1 rdr watch t /docs
assert_has "$err" "cannot watch /docs" fs.inotify.max_user_instances
limit instances 100
"$MINIRDR" watch t /docs >"$TEST_DIR/told" &
wait_until "it watches" grep -q watching "$TEST_DIR/told"
expect 0 rdr umount t
