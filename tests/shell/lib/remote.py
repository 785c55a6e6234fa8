"""One call of remote management, as raw bytes: prints the words of its answer, or how it failed.

usage: remote.py ADDRESS PORT|SOCKET OPERATION [USER]

ADDRESS is `unix` for a socket; USER is the number of the user who asks, if it is another.
"""

import os
import socket
import struct
import sys

INTERFACE = bytes.fromhex("80bda8af8a7dc911bef408002b102989") + struct.pack("<I", 1)
NDR = bytes.fromhex("045d888aeb1cc9119fe808002b104860") + struct.pack("<I", 2)


def message(kind, body):
    return struct.pack("<BBBB4sHHI", 5, 0, kind, 3, b"\x10\0\0\0", 16 + len(body), 0, 1) + body


def exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            sys.exit("closed")
        data += more
    return data


def receive(stream):
    head = exactly(stream, 16)
    return head[2], exactly(stream, struct.unpack_from("<H", head, 8)[0] - 16)


address, place, operation = sys.argv[1], sys.argv[2], int(sys.argv[3])
if len(sys.argv) > 4:
    # Once python runs: another user may not even reach it.
    user = int(sys.argv[4])
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
try:
    if address == "unix":
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(20)
        stream.connect(place)
    else:
        stream = socket.create_connection((address, int(place)), timeout=20)
except OSError as error:
    sys.exit(error.strerror)
bind = struct.pack("<HHIB3xHBB", 4280, 4280, 0, 1, 0, 1, 0) + INTERFACE + NDR
stream.sendall(message(11, bind))
kind, _ = receive(stream)
if kind != 12:
    sys.exit(f"the bind was answered by {kind}")
operands = struct.pack("<II", 4, 1) if operation in (1, 4) else b""
stream.sendall(message(0, struct.pack("<IHH", len(operands), 0, operation) + operands))
kind, body = receive(stream)
if kind != 2:
    sys.exit(f"fault {struct.unpack_from('<I', body, 8)[0]:#x}")
print(*struct.unpack(f"<{(len(body) - 8) // 4}I", body[8 : len(body) // 4 * 4]))
