#!/usr/bin/env bash
# TIMEOUT: 60
# A program that others than root can change is not made what mount(8) runs as root.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
of_ana
expect 0 rdr install-helpers --uninstall
refused() { # refused PROGRAM WAY : nothing of it is installed
  expect 1 rdr install-helpers --program "$1"
  assert_has "$err" "others than root can change $2," "nothing was changed"
  assert_one_line "$err"
  [ ! -L /sbin/mount.minirdr ] || fail "it is installed"
}
ana cp "$MINIRDR" "$TEST_DIR/home/minirdr"
refused "$TEST_DIR/home/minirdr" "$TEST_DIR/home/minirdr"
install "$MINIRDR" "$TEST_DIR/home/roots"
refused "$TEST_DIR/home/roots" "$TEST_DIR/home"
install -m 775 "$MINIRDR" "$TEST_DIR/own/everybodys"
chmod o+w "$TEST_DIR/own/everybodys"
refused "$TEST_DIR/own/everybodys" "$TEST_DIR/own/everybodys"
ln -s "$TEST_DIR/home/minirdr" "$TEST_DIR/own/link"
refused "$TEST_DIR/own/link" "$TEST_DIR/home/minirdr"
expect 0 rdr install-helpers --program "$TEST_DIR/own/bin/minirdr"
