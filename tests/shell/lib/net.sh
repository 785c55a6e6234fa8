# What the cases of several providers under one mount share.
# mount_net [ARGUMENT...] : docs at /srv1/docs from a/, scratch at /srv1/scratch and /srv2/tmp from
# memory; $TEST_DIR/a/f holds "one", $TEST_DIR/b/f "other".
mount_net() {
  need jq python3
  need_fuse
  mkdir -p "$TEST_DIR/a" "$TEST_DIR/b"
  echo one >"$TEST_DIR/a/f" && echo other >"$TEST_DIR/b/f"
  cat >"$TEST_DIR/net.toml" <<EOF
[[provider]]
name = "docs"
prefix = ["/srv1/docs"]
source = "local:a"

[[provider]]
name = "scratch"
prefix = ["/srv1/scratch", "/srv2/tmp"]
source = "memory:"
EOF
  mount_config "$@"
}
# mount_config [ARGUMENT...] : what $TEST_DIR/net.toml says.
mount_config() {
  run rdr mount --config "$TEST_DIR/net.toml" "$TEST_MNT" --name "$NAME" \
    --log "$TEST_DIR/daemon.log" "$@"
  [ "$code" = 0 ] || fail "mount ended with $code"
}
# shares : PROVIDER STATE PREFIX of each, in one line.
shares() {
  local columns=PROVIDER,STATE,PREFIX
  rdr provider list "$NAME" -n -o "$columns" | tail -n +2 | tr -s ' ' | paste -sd, -
}
listing() { timeout 10 ls "$TEST_MNT/$1" | paste -sd' ' -; }
have_shares() { [ "$(shares)" = "$1" ]; }
look() { timeout 10 cat "$TEST_MNT/$1"; }
# reload LINE : HUP, and until the log says so.
reload() {
  local before
  before=$(grep -c "$1" "$TEST_DIR/daemon.log" || true)
  kill -HUP "$(daemon_pid)"
  wait_until "the log says: $1" more_lines "$1" "$before"
}
more_lines() { [ "$(grep -c "$1" "$TEST_DIR/daemon.log")" -gt "$2" ]; }
