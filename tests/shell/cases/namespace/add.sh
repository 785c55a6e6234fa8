#!/usr/bin/env bash
# TIMEOUT: 60
# S-113: a provider is added to a mount that runs; what is wrong is one line, and nothing has changed.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net
puppet holder
ask_ok holder open f r "$TEST_MNT/srv1/docs/f"
assert_errno "No such file or directory" timeout 10 cat "$TEST_MNT/srv3/x/f"
cd "$TEST_DIR"
expect 0 rdr provider add "$NAME" --provider more --prefix /srv3/x --prefix /srv1/y --source local:b
assert_eq "$out" "$NAME provider more: added"
assert_eq "$(look srv3/x/f) $(look srv1/y/f)" "other other"
assert_eq "$(ask holder read f 9)" "ok 4 one" "others never notice"
was=$(shares)
assert_eq "$was" "docs running /srv1/docs,more running /srv3/x,more running /srv1/y,scratch running /srv1/scratch,scratch running /srv2/tmp"
refused() {
  local wanted=$1
  shift
  expect "$wanted" rdr provider add "$NAME" "$@"
  assert_one_line "$err"
  assert_eq "$(shares)" "$was" "nothing has changed"
}
refused 1 --provider docs --prefix /new --source memory:
assert_has "$err" 'there is a provider "docs" already'
refused 1 --provider new --prefix /srv1/docs --source memory:
assert_has "$err" 'is there already, for provider "docs"'
refused 1 --provider new --prefix /srv1/docs/in --source memory:
assert_has "$err" 'is inside "/srv1/docs" of provider "docs"'
refused 1 --provider new --prefix /srv1 --source memory:
assert_has "$err" 'in it: one inside another'
refused 1 --provider new --prefix /.minirdr/x --source memory:
assert_has "$err" "control directory"
refused 2 --provider new --prefix / --source memory:
assert_has "$err" "the whole mount is no prefix"
refused 2 --provider new --prefix srv --source memory:
assert_has "$err" "it is not absolute"
refused 1 --provider "$NAME" --prefix /new --source memory:
assert_has "$err" "would be named as the mount is"
refused 1 --provider a/b --prefix /new --source memory:
assert_has "$err" "cannot name a provider"
refused 1 --provider new --prefix /new --source local:nowhere
assert_has "$err" "No such file or directory"
refused 1 --provider new --prefix /new --source "local:$TEST_MNT/srv1"
assert_has "$err" "inside the mount point"
refused 2 --provider new --prefix /new --source sftp://x
assert_has "$err" "unknown scheme"
refused 2 --provider new --prefix /new --source memory: -o sise=1
assert_has "$err" 'unknown option "sise"'
expect 1 rdr provider add "$NAME" --provider new --prefix /new --source faulty:memory: -o start=error:EIO
assert_has "$out" "$NAME provider new: not added: MRxStart failed"
assert_eq "$(shares)" "$was" "nothing has changed"
refused 2 --provider new --source memory:
# A mount has 126 prefixes at most.
many=()
for n in $(seq 121); do many+=(--prefix "/many/$n"); done
expect 0 rdr provider add "$NAME" --provider many "${many[@]}" --source memory:
was=$(shares)
refused 1 --provider new --prefix /new --source memory:
assert_has "$err" "a mount has 126 at most"
# A mount of one source has none.
mkdir "$TEST_DIR/one"
expect 0 rdr mount memory: "$TEST_DIR/one" --name single
run rdr provider add single --provider new --prefix /new --source memory:
assert_has "$err" "single has one source and no providers"
expect 0 rdr provider list single
assert_eq "$out" "single: memory:, no providers"
expect 0 rdr umount single
