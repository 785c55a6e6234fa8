#!/usr/bin/env bash
# TIMEOUT: 60
# S-23: a file kept open for the next reader is closed for every other purpose, and at a stop.
. "$TEST_LIB/common.sh"
need jq
mkdir "$TEST_DIR/back"
mount_rdr "local:$TEST_DIR/back"
pid=$(daemon_pid)
back=$(realpath "$TEST_DIR/back")
# Files of the served directory that the daemon has open for reading: not the O_PATH ones.
kept() {
  local fd flags count=0
  for fd in "/proc/$pid/fd"/*; do
    case "$(readlink "$fd")" in "$back"/*) ;; *) continue ;; esac
    flags=$(sed -n 's/^flags:\t//p' "/proc/$pid/fdinfo/${fd##*/}")
    ((8#$flags & 8#10000000)) || count=$((count + 1))
  done
  echo "$count"
}
is_kept() { [ "$(kept)" = "$1" ]; }
for name in read removed replaced changed; do echo "$name" >"$TEST_MNT/$name"; done
cp /bin/true "$TEST_MNT/program"
cat "$TEST_MNT"/{read,removed,replaced,changed} >"$TEST_DIR/out.txt"
wait_until "four are kept" is_kept 4
expect 0 rdr stop t --check
rm "$TEST_MNT/removed"
mv "$TEST_MNT/read" "$TEST_MNT/replaced"
chmod 600 "$TEST_MNT/changed"
wait_until "none is kept" is_kept 0
assert_eq "$(cat "$TEST_MNT/replaced")" read
# Nobody is kept from running what was only read, here or on the server.
cat "$TEST_MNT/program" >"$TEST_DIR/copy"
"$TEST_MNT/program" && "$TEST_DIR/back/program"
wait_until "some are kept" is_kept 2
expect 0 rdr stop t --wait
assert_eq "$(kept)" 0 "kept over a stop"
expect 0 rdr start t
assert_eq "$(cat "$TEST_MNT/replaced")" read
expect 0 rdr umount t
mount_rdr "local:$TEST_DIR/back" -o delayed_closes=0
pid=$(daemon_pid)
cat "$TEST_MNT/replaced" >"$TEST_DIR/out.txt"
wait_until "none is kept" is_kept 0
