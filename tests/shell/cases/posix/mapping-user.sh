#!/usr/bin/env bash
# TIMEOUT: 40
# S-152, S-153: a daemon that is not root gives nobody by a mapping what its user is refused.
. "$TEST_LIB/common.sh"
need_user
back="$TEST_DIR/back"
mkdir "$back" && chown -R 65534:65534 "$back" "$TEST_DIR"/{run,state,tmp,home,mnt}
echo secret >"$back/root" && chmod 600 "$back/root"
echo own >"$back/own" && chown 65534:65534 "$back/own" && chmod 600 "$back/own"
for options in uid=65534,gid=65534 map=0/65534:65534/0; do
  say "with $options"
  expect 0 user "$MINIRDR" mount "local:$back" "$TEST_MNT" --name "$NAME" -o "$options"
  assert_eq "$(user stat -c %u "$TEST_MNT/root")" 65534 "owner of what is root's"
  assert_errno "Permission denied" user cat "$TEST_MNT/root"
  assert_errno "Operation not permitted" user chmod 644 "$TEST_MNT/root"
  assert_eq "$(stat -c %a "$back/root")" 600
  expect 0 user "$MINIRDR" umount "$NAME"
done
