# What the cases of system/ begin with, behind common.sh: a mount namespace in which /usr, the table
# of libmount, /etc/fstab and the users are the case's own. Nothing of the machine is changed.

# at_home : goes on there, with the helpers installed and a user called ana.
at_home() {
  need_root
  need unshare setpriv mount umount findmnt fusermount3 jq
  need_fuse
  if [ -z "${TEST_INSIDE:-}" ]; then
    unshare -m true 2>/dev/null || skip "needs unshare -m"
    [ -L /sbin ] || skip "needs a /sbin that is in /usr"
    TEST_INSIDE=1 exec unshare -m --propagation private bash "$0"
  fi
  local own=$TEST_DIR/own file mount
  # Copies of what other cases and people have mounted: `umount -a` is not to find them.
  awk '$0 ~ / - fuse/ { print $5 }' /proc/self/mountinfo | while read -r mount; do
    # shellcheck disable=SC2059 # The kernel's \040 for a blank is printf's.
    umount -i -l "$(printf "${mount//%/%%}")"
  done
  mkdir -p "$own"
  mount -t tmpfs none "$own"
  mkdir -p "$own"/{usr,work,utab,run/mount}
  [ -d /run/mount ] || mount --bind "$own/run" /run
  mount -t overlay none -o "lowerdir=/usr,upperdir=$own/usr,workdir=$own/work" /usr 2>/dev/null ||
    skip "needs overlayfs"
  mount --bind "$own/utab" /run/mount
  mknod -m 666 "$own/fuse" c 10 229
  mount --bind "$own/fuse" /dev/fuse
  for file in fstab passwd group; do
    cat "/etc/$file" >"$own/$file" 2>/dev/null || touch "$own/$file"
    mount --bind "$own/$file" "/etc/$file"
  done
  echo "ana:x:60001:60001::$TEST_DIR/home:/bin/sh" >>/etc/passwd
  echo "ana:x:60001:" >>/etc/group
  # Root's, wherever the program under test is: nothing else may be installed.
  install -D "$MINIRDR" "$own/bin/minirdr"
  rdr install-helpers --program "$own/bin/minirdr"
}
# ana COMMAND... : as the user.
ana() { setpriv --reuid 60001 --regid 60001 --clear-groups "$@"; }
# of_ana : the case's directories are the user's.
of_ana() {
  mkdir -p "$TEST_DIR/back"
  chown -R 60001:60001 "$TEST_DIR"/{back,run,state,tmp,home,mnt}
}
# line OPTIONS [SOURCE] : a line of fstab for $TEST_MNT.
line() { echo "${2:-local:$TEST_DIR/back} $TEST_MNT minirdr name=t,$1 0 0" >>/etc/fstab; }
# utab : libmount's lines about $TEST_MNT.
utab() { grep -sF "TARGET=$TEST_MNT " /run/mount/utab || true; }
socket_gone() { ! [ -e "$XDG_RUNTIME_DIR/minirdr/t.sock" ]; }
