#!/usr/bin/env bash
# TIMEOUT: 60
# S-130, S-133: changes on the server and through the mount are told, each once, and what is told is
# what the mount shows, although the kernel might keep what it knew for a minute.
. "$TEST_LIB/common.sh"
mkdir "$TEST_DIR/srv" "$TEST_DIR/srv/docs"
echo old >"$TEST_DIR/srv/docs/plan"
mount_rdr "local:$TEST_DIR/srv" -o entry_timeout=60,attr_timeout=60,negative_timeout=60
told=$TEST_DIR/told
# told KIND PATH : it has been told; the path is the last word of its line.
told() { grep -q "  $1  *$2\$" "$told"; }

expect 0 cat "$TEST_MNT/docs/plan"
assert_errno "No such file" cat "$TEST_MNT/docs/later"
"$MINIRDR" watch t "$TEST_MNT/docs" >"$told" &
wait_until "it watches" told watching /docs

say "behind the mount's back"
echo new >"$TEST_DIR/srv/docs/plan"
wait_until "the write is told" told modified /docs/plan
assert_eq "$(cat "$TEST_MNT/docs/plan")" new
echo 1 >"$TEST_DIR/srv/docs/later"
wait_until "the file is told" told created /docs/later
assert_eq "$(cat "$TEST_MNT/docs/later")" 1
mv "$TEST_DIR/srv/docs/later" "$TEST_DIR/srv/docs/moved"
wait_until "the move is told" told removed /docs/later
wait_until "the move is told" told created /docs/moved
assert_errno "No such file" cat "$TEST_MNT/docs/later"
assert_eq "$(cat "$TEST_MNT/docs/moved")" 1
rm "$TEST_DIR/srv/docs/moved"
wait_until "the removal is told" told removed /docs/moved
assert_errno "No such file" cat "$TEST_MNT/docs/moved"

say "through the mount"
mkdir "$TEST_MNT/docs/sub"
wait_until "the directory is told" told created /docs/sub
rmdir "$TEST_MNT/docs/sub"
wait_until "its end is told" told removed /docs/sub
assert_eq "$(grep -c 'created *.docs/sub$' "$told")" 1 "told once"
