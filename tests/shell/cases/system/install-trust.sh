#!/usr/bin/env bash
# TIMEOUT: 60
# install-helpers takes away nothing that took the place of its own, and neither a list nor a link
# of somebody's image leads it out of --root.
. "$TEST_LIB/common.sh"
root=$TEST_DIR/root
mkdir -p "$root"/usr/sbin
ln -s usr/sbin "$root/sbin"
install_helpers() { rdr install-helpers --root "$root" --program /usr/bin/minirdr "$@"; }
expect 0 install_helpers
say "what took the place of ours is left"
rm "$root/sbin/mount.minirdr"
echo "a package's" >"$root/usr/sbin/mount.minirdr"
expect 0 rdr install-helpers --root "$root" --uninstall
assert_has "$err" "mount.minirdr is not what was installed: left"
assert_eq "$(cat "$root/usr/sbin/mount.minirdr")" "a package's"
rm "$root/usr/sbin/mount.minirdr"
expect 0 install_helpers

say "a list of somebody's image, and a link out of it"
cp "$root/usr/share/minirdr/helpers.list" "$TEST_DIR/list"
echo theirs >"$TEST_DIR/victim"
echo "f 0000000000000000 ../victim" >>"$root/usr/share/minirdr/helpers.list"
expect 1 rdr install-helpers --root "$root" --uninstall
assert_has "$err" "nothing was changed"
assert_one_line "$err"
[ -e "$TEST_DIR/victim" ] || fail "it is gone"
cp "$TEST_DIR/list" "$root/usr/share/minirdr/helpers.list"
mkdir -p "$TEST_DIR"/{image,outside}
ln -s "$TEST_DIR/outside" "$TEST_DIR/image/usr"
expect 1 rdr install-helpers --root "$TEST_DIR/image" --program /usr/bin/minirdr
assert_has "$err" "leads out of"
assert_eq "$(find "$TEST_DIR/outside" -mindepth 1)" ""
