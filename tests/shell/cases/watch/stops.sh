#!/usr/bin/env bash
# TIMEOUT: 60
# S-132, S-134, S-136: a stop is not busy with a watch, which goes on after the next start; the last
# watch ends the notification; and each end has its exit code.
. "$TEST_LIB/common.sh"
need jq
mkdir "$TEST_DIR/srv" "$TEST_DIR/srv/docs"
mount_rdr "local:$TEST_DIR/srv"
told=$TEST_DIR/told
told() { grep -q "  $1  *$2\$" "$told"; }
has_inotify() { [ "$(ls -l "/proc/$(daemon_pid)/fd" | grep -c inotify)" = "$1" ]; }

has_inotify 0 || fail "nobody watches yet"
"$MINIRDR" watch t /docs >"$told" &
watcher=$!
wait_until "it watches" told watching /docs
has_inotify 1 || fail "somebody watches"
expect 0 rdr handles t -n
assert_lacks "$out" docs
expect 0 rdr stop t --check
took_less 5 expect 0 rdr stop t --wait --if-busy=refuse
has_inotify 0 || fail "a stopped mount follows nothing"
expect 0 rdr start t
wait_until "it goes on" told resync /docs
echo again >"$TEST_DIR/srv/docs/plan"
wait_until "the next change is told" told created /docs/plan
assert_eq "$(grep -c resync "$told")" 1 "one resync"

say "the ends"
kill "$watcher"
expect 143 wait "$watcher"
wait_until "nobody watches" has_inotify 0
expect 1 rdr watch t /docs/missing
assert_has "$err" "cannot watch /docs/missing" "No such file or directory"
assert_one_line "$err"
expect 2 rdr watch t relative
assert_one_line "$err"
expect 2 rdr watch t ''
assert_has "$err" "a PATH cannot be empty"
assert_one_line "$err"

say "of what is stopped"
expect 0 rdr stop t --wait
"$MINIRDR" watch t /docs --json >"$told" 2>"$TEST_DIR/awaited" &
watcher=$!
waits() { grep -qx "t: stopped; waiting for its start" "$TEST_DIR/awaited"; }
wait_until "it says what it waits for" waits
[ ! -s "$told" ] || fail "on stdout there is JSON only: $(<"$told")"
expect 0 rdr start t
wait_until "it watches" grep -q watching "$told"
kill "$watcher"
expect 143 wait "$watcher"
"$MINIRDR" watch t /docs --json >"$told" &
watcher=$!
wait_until "it watches" grep -q watching "$told"
jq -e '.schema == "minirdr/1" and .event.path == "/docs"' "$told" >/dev/null
expect 0 rdr umount t
expect 3 wait "$watcher"
