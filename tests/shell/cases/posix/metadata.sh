#!/usr/bin/env bash
# TIMEOUT: 40
# S-15: times to the nanosecond, modes, owners, umask, directories that hand down their group.
. "$TEST_LIB/common.sh"
need_root
body() {
  echo x >f && chmod 0751 f
  assert_eq "$(stat -c %a f)" 751
  touch -d '2001-02-03 04:05:06.123456789 UTC' f
  assert_eq "$(TZ=UTC stat -c %y f)" "2001-02-03 04:05:06.123456789 +0000"
  chown 12:34 f
  assert_eq "$(stat -c %u:%g f)" 12:34
  chmod 6777 f
  assert_eq "$(stat -c %a f)" 6777
  echo more >>f
  assert_eq "$(stat -c %s f)" 7
  (umask 027 && mkdir d && touch g && mkfifo p)
  assert_eq "$(stat -c %a d g p | tr '\n' ' ')" "750 640 640 "
  assert_eq "$(stat -c %F p)" fifo
  before=$(stat -c %Z g) && chmod 600 g && [ "$(stat -c %Z g)" -ge "$before" ]
  chmod 2777 d && touch d/child && assert_eq "$(stat -c %g d/child)" "$(stat -c %g d)"
}
each_source body
