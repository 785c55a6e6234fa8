#!/usr/bin/env bash
# TIMEOUT: 60
# S-165: who is spoken to for a mount is the daemon of the user who mounted it, and it is known by
# the mount's device: a stranger's daemon that says it is there is not asked, and holds nobody up.
. "$TEST_LIB/common.sh"
. "$TEST_LIB/system.sh"
at_home
of_ana
expect 0 mount_rdr memory:
pid=$(daemon_pid)
# Ana's socket stands where root's mount is looked for.
rm "$TEST_DIR/run/minirdr/t.sock"
chmod 755 "$TEST_DIR/run"
chmod 777 "$TEST_DIR/run/minirdr"
cat >"$TEST_DIR/stranger.py" <<'EOF'
import os, socket, sys
path, asked = sys.argv[1:]
os.setgid(60001)
os.setuid(60001)
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
while True:
    peer, _ = server.accept()
    while data := peer.recv(65536):
        open(asked, "wb").write(data)
EOF
python3 "$TEST_DIR/stranger.py" "$TEST_DIR/run/minirdr/t.sock" "$TEST_DIR/home/asked" &
stranger=$!
wait_until "it listens" test -S "$TEST_DIR/run/minirdr/t.sock"
took_less 10 expect 0 umount.minirdr "$TEST_MNT"
assert_has "$err" "its daemon was not found here"
[ ! -e "$TEST_DIR/home/asked" ] || fail "the stranger was asked: $(<"$TEST_DIR/home/asked")"
kill "$stranger"
wait_until "the daemon has ended" ended "$pid"
