#!/usr/bin/env bash
# varlink's own Python client, which nobody here wrote, against the control socket: it reads our
# interface, calls it, follows a stop, and takes our errors for errors.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] || { say "skipped: needs root and /dev/fuse" && exit 77; }
VARLINK=31.0.0
python_with varlink $VARLINK varlink

mount_with
timeout 60 "$python" "$(dirname "${BASH_SOURCE[0]}")/varlink_calls.py" \
  "$XDG_RUNTIME_DIR/minirdr/$name.sock" || fail "varlink's client"
echo content >"$work/mnt/file" || fail "the mount does not serve"
unmount
say "varlink $VARLINK is content"
