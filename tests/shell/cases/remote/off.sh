#!/usr/bin/env bash
# TIMEOUT: 30
# S-70: without --rpc nothing listens but the control socket. Shutdown finds nobody listening.
. "$TEST_LIB/common.sh"
need python3
mount_rdr memory:
pid=$(daemon_pid)
sockets() { find "/proc/$pid/fd" -lname 'socket:*' -printf '%l\n' | tr -dc '0-9\n'; }
for inode in $(sockets); do
  ! grep -q " $inode " /proc/net/tcp /proc/net/tcp6 || fail "a TCP socket: $inode"
done
listens() { awk -v inode="$1" '$7 == inode && $4 == "00010000"' /proc/net/unix; }
listening=$(for inode in $(sockets); do listens "$inode"; done)
assert_one_line "$listening"
assert_has "$listening" "$XDG_RUNTIME_DIR/minirdr/t.sock"
answer=$(python3 -c 'import socket, sys
control = socket.socket(socket.AF_UNIX)
control.connect(sys.argv[1])
control.sendall(b"{\"method\":\"io.minirdr.Control.Shutdown\"}\0")
print(control.recv(4096).decode())' "$XDG_RUNTIME_DIR/minirdr/t.sock")
assert_has "$answer" '"status":1715' '"unregistered":0'
is_state running || fail "the mount is touched"
