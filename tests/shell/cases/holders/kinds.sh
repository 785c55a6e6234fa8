#!/usr/bin/env bash
# TIMEOUT: 40
# S-33: who holds a mount by its current directory, by a mapping whose file is closed, by a bind
# mount, or from another mount namespace is named; nothing is changed.
. "$TEST_LIB/common.sh"
need_root
need jq unshare
mount_rdr memory:
mkdir "$TEST_MNT/dir" "$TEST_DIR/bind"
head -c 8192 /dev/zero >"$TEST_MNT/mapped"
puppet walker
puppet mapper
ask_ok walker cd "$TEST_MNT/dir"
ask_ok mapper open f rw "$TEST_MNT/mapped"
ask_ok mapper map f 8192
ask_ok mapper close f
mount --bind "$TEST_MNT/dir" "$TEST_DIR/bind"
unshare -m sh -c "cd $TEST_MNT && echo in >$TEST_DIR/inside && exec tail -f /dev/null" &
other=$!
wait_until "it is inside" test -e "$TEST_DIR/inside"
named() {
  jq -r --argjson pid "$1" '.holders[] | select(.pid == $pid) | .kind' <<<"$out"
}
expect 10 rdr stop t --check --json
assert_has "$(named "${puppet_pid[walker]}")" cwd
assert_has "$(named "${puppet_pid[mapper]}")" mmap
assert_has "$(named "$other")" cwd
expect 10 rdr stop t --check
assert_has "$out" "walker[${puppet_pid[walker]}]" "mapper[${puppet_pid[mapper]}]" "[$other]"
assert_has "$out" mapped dir/ "$TEST_DIR/bind"
is_state running || fail "it was changed"
kill "$other"
umount "$TEST_DIR/bind"
ask_ok walker cd /
ask_ok mapper unmap f
wait "$other" || :
expect 0 rdr stop t --check
