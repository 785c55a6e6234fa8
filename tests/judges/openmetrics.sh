#!/usr/bin/env bash
# prometheus_client, the reference parser of OpenMetrics, against our text: of a mount that is used,
# stopped and started again, by the command and from the socket itself.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { say "skipped: needs root and /dev/fuse" && exit 77; }
CLIENT=0.26.0
python_with prometheus-client $CLIENT prometheus_client
judge() { timeout 60 "$python" "$(dirname "${BASH_SOURCE[0]}")/openmetrics_scrape.py" "$@"; }
scrape() {
  "$MINIRDR" metrics "$name" >"$work/$1.om" || fail "no metrics of $1"
  "$MINIRDR" metrics "$name" --format prometheus >"$work/$1.prom" || fail "no metrics of $1"
}

mount_with
scrape fresh
echo content >"$work/mnt/file" && cat "$work/mnt/file" "$work/mnt/none" >/dev/null 2>&1 || true
scrape used
"$MINIRDR" stop --wait "$name" >/dev/null || fail "it does not stop"
! cat "$work/mnt/file" 2>/dev/null || fail "a stopped mount serves"
scrape stopped
"$MINIRDR" start "$name" >/dev/null || fail "it does not start"
scrape started
judge "$XDG_RUNTIME_DIR/minirdr/$name.sock" "$work"/{fresh,used,stopped,started} || fail "the parser"
unmount
say "prometheus_client $CLIENT is content"
