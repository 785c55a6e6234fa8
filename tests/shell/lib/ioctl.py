#!/usr/bin/env python3
"""Asks through the file system, as FSCTL does: ioctl.py FILE stop|start|pause|resume|query
[FLAGS [TICKET]]. Prints the NTSTATUS and the ticket of the answer: `0x00000103 2`.

struct minirdr_control { u32 status, flags; u64 ticket; u32 deadline_ms, grace_ms, reserved[2]; };
"""
import fcntl, os, struct, sys

LAYOUT = struct.Struct("=IIQII8x")
NUMBERS = {"stop": 1, "start": 2, "pause": 3, "resume": 4, "query": 5}

path, word = sys.argv[1], sys.argv[2]
flags = int(sys.argv[3], 0) if len(sys.argv) > 3 else 0
ticket = int(sys.argv[4]) if len(sys.argv) > 4 else 0
number = (3 << 30) | (LAYOUT.size << 16) | (ord("R") << 8) | NUMBERS[word]
argument = bytearray(LAYOUT.pack(0, flags, ticket, 0, 0))
descriptor = os.open(path, os.O_RDWR)
try:
    fcntl.ioctl(descriptor, number, argument)
except OSError as error:
    print(error.strerror, file=sys.stderr)
    sys.exit(1)
status, _, ticket, _, _ = LAYOUT.unpack(argument)
print(f"0x{status:08x} {ticket}")
