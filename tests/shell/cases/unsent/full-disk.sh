#!/usr/bin/env bash
# TIMEOUT: 60
# S-51: with no room to keep it, or nowhere at all, what is lost is named all the same.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/unsent.sh"
need_root
need jq python3
mkdir -p "$TEST_DIR/back" "$XDG_STATE_HOME/minirdr"
printf 'old' >"$TEST_DIR/back/f"
mount -t tmpfs -o size=64k none "$XDG_STATE_HOME/minirdr"
trap 'c=$?; trap - ERR; set +e; umount -l "$XDG_STATE_HOME/minirdr"; (exit "$c"); finish' EXIT
mount_rdr "faulty:local:$TEST_DIR/back" -o write=hang-uncancellable#1
lose one f "$(printf '%090000d' 7)"
assert_has "$out" "NOT saved: 1 file" "No space left on device"
assert_lacks "$out" "kept in"
assert_eq "$(find "$UNSENT" -type f | wc -l)" 0 "files left of it"
expect 0 rdr start t
lose two f "small"
assert_has "$out" "5 B" "kept in $UNSENT/"
expect 0 rdr umount t

say "a state directory that is none"
umount -l "$XDG_STATE_HOME/minirdr"
rmdir "$XDG_STATE_HOME/minirdr"
touch "$XDG_STATE_HOME/minirdr"
trap finish EXIT
mount_rdr "faulty:local:$TEST_DIR/back" -o write=hang-uncancellable#1
lose three f "gone"
assert_has "$out" "NOT saved: 1 file, 4 B" "not kept: "
warned=$(grep -c "will be named, but not kept" "$TEST_DIR/daemon.log")
assert_eq "$warned" 1 "warnings"
expect 0 rdr start t
