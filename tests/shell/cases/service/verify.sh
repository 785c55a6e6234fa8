#!/usr/bin/env bash
# TIMEOUT: 30
# S-80: systemd finds nothing wrong with the unit, for the system and for a user.
. "$TEST_LIB/common.sh"
need systemd-analyze
mkdir "$TEST_DIR/units"
# It looks for programs where they would be installed.
unit="$TEST_LIB/../../../contrib/systemd/minirdr@.service"
sed "s|^\(Exec[A-Za-z]*\)=minirdr |\1=$MINIRDR |" "$unit" >"$TEST_DIR/units/minirdr@.service"
assert_eq "$(grep -c "$MINIRDR" "$TEST_DIR/units/minirdr@.service")" 2 "commands"
for manager in --system --user; do
  expect 0 systemd-analyze "$manager" verify "$TEST_DIR/units/minirdr@t.service"
  assert_eq "$out$err" "" "what $manager has to say"
done
# It does look.
sed -i 's/^Type=notify/Type=notfiy/' "$TEST_DIR/units/minirdr@.service"
run systemd-analyze --system verify "$TEST_DIR/units/minirdr@t.service"
assert_has "$err" notfiy
