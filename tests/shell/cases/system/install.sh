#!/usr/bin/env bash
# TIMEOUT: 60
# install-helpers puts all in place below --root, does nothing twice, overwrites nothing of others,
# and takes away what it brought; its pages and its unit are right.
. "$TEST_LIB/common.sh"
root=$TEST_DIR/root
mkdir -p "$root"/{usr/sbin,usr/share/man}
ln -s usr/sbin "$root/sbin"
tree() { (cd "$root" && find . | sort); }
before=$(tree)
install_helpers() { rdr install-helpers --root "$root" --program /usr/bin/minirdr "$@"; }
expect 0 install_helpers
assert_has "$out" "files put in place, for /usr/bin/minirdr"
for name in {mount,umount}.{minirdr,fuse.minirdr}; do
  assert_eq "$(readlink "$root/sbin/$name")" /usr/bin/minirdr
done
installed=$(tree)
expect 0 install_helpers
assert_has "$out" "nothing to do"
assert_eq "$(tree)" "$installed"
assert_has "$installed" man8/mount.minirdr.8 man8/umount.minirdr.8 man1/minirdr-stop.1 \
  'system/minirdr@.service' completions/minirdr _minirdr minirdr.fish
assert_has "$(cat "$root"/usr/lib/systemd/system/*)" "ExecStart=/usr/bin/minirdr mount"
if command -v man >/dev/null; then
  for page in "$root"/usr/share/man/man[18]/*; do
    assert_eq "$(LC_ALL=C.UTF-8 MANWIDTH=100 man -l --warnings "$page" 2>&1 >/dev/null)" "" "$page"
  done
  page=$(MANWIDTH=100 man -l "$root/usr/share/man/man8/umount.minirdr.8")
  assert_has "$page" "EXIT STATUS" "FILES" "EXAMPLES" "SEE ALSO" "umount.minirdr(8)"
fi

say "another program, and back"
expect 1 rdr install-helpers --root "$root" --program /opt/minirdr
assert_has "$err" "for a program in another place: nothing was changed"
assert_eq "$(tree)" "$installed"
expect 0 rdr install-helpers --root "$root" --uninstall
expect 0 rdr install-helpers --root "$root" --program "/opt/my dir/minirdr"
assert_has "$(cat "$root"/usr/local/lib/systemd/system/*)" 'ExecStart="/opt/my dir/minirdr" mount'
expect 0 rdr install-helpers --root "$root" --program /opt/minirdr
assert_eq "$(readlink "$root/sbin/mount.minirdr")" /opt/minirdr
expect 2 rdr install-helpers --root "$root" --program '/opt/a"b/minirdr'
assert_one_line "$err"
expect 0 rdr install-helpers --root "$root" --uninstall
assert_eq "$(tree)" "$before"
expect 0 rdr install-helpers --root "$root" --uninstall
assert_has "$out" "nothing is installed"

say "what is not ours"
echo theirs >"$root/usr/sbin/mount.fuse.minirdr"
before=$(tree)
expect 1 install_helpers
assert_has "$err" "sbin/mount.fuse.minirdr is there and was not put there" "nothing was changed"
assert_one_line "$err"
assert_eq "$(tree)" "$before"
assert_eq "$(cat "$root/usr/sbin/mount.fuse.minirdr")" theirs
expect 1 rdr install-helpers --root "$TEST_DIR/none"
assert_one_line "$err"
expect 2 rdr install-helpers --root "$root" --program minirdr
assert_one_line "$err"
