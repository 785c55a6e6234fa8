#!/usr/bin/env bash
# TIMEOUT: 60
# contrib/prometheus/minirdr-textfile writes where nobody else can put anything in its way, and
# follows nothing that is there.
. "$TEST_LIB/common.sh"
need_root
need timeout mktemp stat
script=$TEST_LIB/../../../contrib/prometheus/minirdr-textfile
mount_rdr memory:
text=$TEST_DIR/text && mkdir "$text"
echo untouched >"$TEST_DIR/file"
ln -s "$TEST_DIR/file" "$text/minirdr.prom"
ln -s "$TEST_DIR/file" "$text/minirdr-t.prom"
expect 0 "$script" "$text"
assert_eq "$(<"$TEST_DIR/file")" untouched
assert_has "$(<"$text/minirdr.prom")" 'minirdr_up{mount="t"} 1'
assert_has "$(<"$text/minirdr-t.prom")" 'minirdr_state{mount="t"'
assert_eq "$(stat -c %a "$text/minirdr.prom" "$text/minirdr-t.prom" | tr '\n' ' ')" "644 644 "
assert_eq "$(find "$text" -name '.minirdr*')" "" "left behind"

say "a directory of another, below another's, open to others"
refused() {
  expect 1 "$script" "$2"
  assert_has "$err" "$1"
  assert_eq "$(find "$2" -type f)" "" "written"
}
mkdir -p "$TEST_DIR/theirs/ours" "$TEST_DIR/open/ours" "$TEST_DIR/group"
chown 65534 "$TEST_DIR/theirs"
chmod 777 "$TEST_DIR/open"
chmod 775 "$TEST_DIR/group"
refused "belongs to neither root nor user 0" "$TEST_DIR/theirs"
refused "belongs to neither root nor user 0" "$TEST_DIR/theirs/ours"
refused "may be written to by others (mode 777)" "$TEST_DIR/open/ours"
refused "may be written to by others (mode 775)" "$TEST_DIR/group"
ln -s "$TEST_DIR/theirs/ours" "$TEST_DIR/link"
refused "belongs to neither root nor user 0" "$TEST_DIR/link"
chmod 1777 "$TEST_DIR/open"
refused "may be written to by others (mode 1777)" "$TEST_DIR/open"
expect 0 "$script" "$TEST_DIR/open/ours"
expect 1 "$script" "$TEST_DIR/absent"
expect 0 rdr umount t
