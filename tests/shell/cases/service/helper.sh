#!/usr/bin/env bash
# TIMEOUT: 60
# S-84: fusermount3 does not find the service manager's socket, and the daemon does.
. "$TEST_LIB/common.sh"
need_user
need python3
mkdir "$TEST_DIR"/{bin,said}
cat >"$TEST_DIR/bin/fusermount3" <<END
#!/bin/sh
env >>"$TEST_DIR/said/environment"
exec $(command -v fusermount3) "\$@"
END
chmod 755 "$TEST_DIR/bin/fusermount3"
chown -R 65534:65534 "$TEST_DIR"/{run,state,tmp,home,mnt,said}
python3 -c 'import socket, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(sys.argv[1])
print("listens", flush=True)
while True: print(manager.recv(4096).decode(), end="", flush=True)' "$TEST_DIR/said/notify" \
  >"$TEST_DIR/heard" &
wait_until "somebody listens" grep -q listens "$TEST_DIR/heard"
chown 65534 "$TEST_DIR/said/notify"
service() {
  user env PATH="$TEST_DIR/bin:$PATH" NOTIFY_SOCKET="$TEST_DIR/said/notify" \
    WATCHDOG_USEC=60000000 "$@"
}
expect 0 service "$MINIRDR" mount memory: "$TEST_MNT" --name t
wait_until "it is ready" grep -q READY=1 "$TEST_DIR/heard"
expect 0 user "$MINIRDR" umount t
wait_until "it has ended" grep -q "ended, all saved" "$TEST_DIR/heard"
assert_eq "$(grep -c ^_FUSE_COMMFD= "$TEST_DIR/said/environment")" 1 "mounts by the helper"
assert_eq "$(grep -cE '^(NOTIFY_SOCKET|WATCHDOG_)' "$TEST_DIR/said/environment")" 0 "leaks"
