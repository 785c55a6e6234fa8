#!/usr/bin/env bash
# TIMEOUT: 40
# S-150: who may by a capability may, and root without it may not, as on any file system.
. "$TEST_LIB/common.sh"
need_root
need setpriv
each_options=allow_other
override=dac_override,-dac_read_search
with() { setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps "+$1" \
  --ambient-caps "+$1" "${@:2}"; }
body() {
  echo x >f && chown 1111:1111 f && chmod 600 f
  assert_errno "Permission denied" user cat f
  assert_eq "$(with dac_override cat f)" x
  assert_errno "Operation not permitted" user chmod 666 f
  with fowner chmod 640 f
  assert_eq "$(stat -c %a f)" 640
  with chown chown 65534 f
  assert_eq "$(stat -c %u f)" 65534
  chown 1111 f
  assert_eq "$(cat f)" x
  assert_errno "Permission denied" \
    setpriv --inh-caps "-$override" --bounding-set "-$override" cat f
  echo y >own && chmod 600 own
  assert_eq "$(setpriv --inh-caps "-$override" --bounding-set "-$override" cat own)" y
}
each_source body
