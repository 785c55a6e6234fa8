#!/usr/bin/env bash
# TIMEOUT: 60
# S-113: what is wrong with a provider is one line, and nothing has changed.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net
was=$(shares)
# refused CODE WORDS ARGUMENT...
refused() {
  local wanted=$1 words=$2
  shift 2
  expect "$wanted" rdr provider add "$NAME" "$@"
  assert_one_line "$err"
  assert_has "$err$out" "$words"
  assert_eq "$(shares)" "$was" "nothing has changed"
}
new() { refused "$1" "$2" --provider new --prefix "$3" --source memory: "${@:4}"; }
from() { refused "$1" "$2" --provider new --prefix /new --source "$3" "${@:4}"; }
refused 1 'there is a provider "docs" already' --provider docs --prefix /new --source memory:
refused 1 "would be named as the mount is" --provider "$NAME" --prefix /new --source memory:
refused 1 "cannot name a provider" --provider a/b --prefix /new --source memory:
refused 2 "--prefix" --provider new --source memory:
new 1 'is there already, for provider "docs"' /srv1/docs
new 1 'is inside "/srv1/docs" of provider "docs"' /srv1/docs/in
new 1 "in it: one inside another" /srv1
new 1 "control directory" /.minirdr/x
new 2 "the whole mount is no prefix" /
new 2 "it is not absolute" srv
new 2 'unknown option "sise"' /new -o sise=1
from 1 "No such file or directory" local:nowhere
from 1 "inside the mount point" "local:$TEST_MNT/srv1"
from 2 "unknown scheme" sftp://x
from 1 "$NAME provider new: not added: MRxStart failed" faulty:memory: -o start=error:EIO
# A mount has 126 prefixes at most.
many=()
for n in $(seq 123); do many+=(--prefix "/many/$n"); done
expect 0 rdr provider add "$NAME" --provider many "${many[@]}" --source memory:
was=$(shares)
new 1 "a mount has 126 at most" /new
