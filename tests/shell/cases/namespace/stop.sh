#!/usr/bin/env bash
# TIMEOUT: 60
# A stop of a mount of several providers is a stop of them all: new opens are refused everywhere,
# what is open is told by its place in the mount, and a start brings all back.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/net.sh"
need jq
need_fuse
mkdir "$TEST_DIR/a"
cat >"$TEST_DIR/net.toml" <<EOF
[[provider]]
name = "docs"
prefix = ["/srv1/docs", "/srv2/docs"]
source = "local:a"

[[provider]]
name = "scratch"
prefix = ["/srv1/scratch"]
source = "memory:"
EOF
echo text >"$TEST_DIR/a/f"
mount_config
puppet holder
ask_ok holder open f r "$TEST_MNT/srv2/docs/f"
expect 10 rdr stop "$NAME" --check
assert_has "$out" "srv2/docs/f"
expect 0 rdr handles "$NAME" --json
assert_eq "$(jq -r '.handles[].path' <<<"$out")" "srv2/docs/f"
# Busy, and to be left alone then: everything goes on.
expect 0 rdr pause "$NAME"
assert_errno "Resource temporarily unavailable" timeout 10 cat "$TEST_MNT/srv1/docs/f"
expect 0 rdr resume "$NAME"
assert_eq "$(timeout 10 cat "$TEST_MNT/srv1/docs/f")" text
expect 10 rdr stop "$NAME" --wait
assert_has "$out" "1 handle still open" "srv2/docs/f"
assert_errno "transport endpoint shutdown" timeout 10 ls "$TEST_MNT/srv1"
ask_error holder ESHUTDOWN read f 4
expect 0 rdr events "$NAME" --json
for prefix in /srv1/docs /srv2/docs /srv1/scratch; do
  order=$(jq -r --arg prefix "$prefix" '
    .events | (map(select(.kind == "prefix_released" and .prefix == $prefix))[0]) as $released |
    map(select(.device == $released.device and .seq >= $released.seq) | .kind) |
    map(select(IN("prefix_released", "deregistered", "redirector_stopped", "stopped"))) |
    join(" ")' <<<"$out")
  assert_eq "$order" "prefix_released deregistered redirector_stopped stopped" "of $prefix"
done
# The mount's own result comes last.
assert_eq "$(jq -r '.events | map(select(.kind == "stopped"))[-1].device' <<<"$out")" "$NAME"
expect 0 rdr start "$NAME"
assert_eq "$(ask holder read f 4)" "ok 4 text" "a survivor is reclaimed"
assert_eq "$(timeout 10 cat "$TEST_MNT/srv1/docs/f")" text
ask_ok holder close f
expect 0 rdr umount "$NAME"
wait_until "it is gone" is_gone
