#!/usr/bin/env bash
# TIMEOUT: 60
# S-119: stop, start, pause, resume, check and wait are about one provider with --provider; the
# others serve on. The directory of one that is stopped is not there.
# S-124: tickets of a mount are numbered together: a number alone names one.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
mount_net
puppet holder
ask_ok holder open f r "$TEST_MNT/srv1/docs/f"
expect 0 rdr pause "$NAME" --provider docs
assert_errno "Resource temporarily unavailable" timeout 10 cat "$TEST_MNT/srv1/docs/f"
timeout 10 sh -c "echo x >'$TEST_MNT/srv2/tmp/x'"
scratch="scratch running /srv1/scratch,scratch running /srv2/tmp"
assert_eq "$(shares)" "docs paused /srv1/docs,$scratch"
expect 0 rdr resume "$NAME" --provider docs
assert_eq "$(look srv1/docs/f)" one
expect 0 rdr stop "$NAME" --provider docs --json
assert_eq "$(jq -r '.result, .provider' <<<"$out" | paste -sd' ' -)" "pending docs"
ticket=$(jq .ticket <<<"$out")
expect 10 rdr wait "$NAME" --ticket "$ticket"
assert_has "$out" "$NAME provider docs: stopped, 1 handle still open"
expect 10 rdr wait "$NAME" --provider docs --for stopped --timeout 10s
assert_errno "No such file or directory" timeout 10 cat "$TEST_MNT/srv1/docs/f"
assert_eq "$(timeout 10 ls "$TEST_MNT/srv1")" scratch
assert_eq "$(look srv2/tmp/x)" x
ask_error holder ESHUTDOWN read f 9
expect 14 rdr stop "$NAME" --provider docs --strict
assert_has "$out" "$NAME provider docs: already stopped"
expect 3 rdr status "$NAME" --provider docs
expect 0 rdr status "$NAME"
expect 1 rdr stop "$NAME" --provider docs --unmount
assert_has "$err" "no mount point of its own"
expect 1 rdr stop "$NAME" --provider nobody
expect 0 rdr start "$NAME" --provider docs
assert_has "$out" "$NAME provider docs: running (same mount"
assert_eq "$(ask holder read f 9)" "ok 4 one" "a survivor is reclaimed"
# One of several prefixes goes as a whole.
expect 0 rdr stop "$NAME" --provider scratch --wait
assert_eq "$(timeout 10 ls "$TEST_MNT")" srv1
expect 0 rdr stop "$NAME" --provider docs --no-wait
expect 10 rdr stop "$NAME" --wait
expect 1 rdr start "$NAME" --provider docs
assert_has "$err" "the mount is not running"
expect 1 rdr provider add "$NAME" --provider new --prefix /new --source memory:
assert_has "$err" "the mount is not running"
# Who starts the mount starts all of it.
expect 0 rdr start "$NAME"
assert_eq "$(shares)" "docs running /srv1/docs,$scratch"
# And removes what is stopped.
expect 0 rdr stop "$NAME" --provider scratch --wait
expect 0 rdr provider remove "$NAME" --provider scratch
assert_has "$out" "removed; it was stopped"
