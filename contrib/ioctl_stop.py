#!/usr/bin/env python3
"""Stops a minirdr mount by ioctl on its control file and waits for the result (docs/CONTROL-FILE.md).

usage: ioctl_stop.py MOUNT_POINT
"""
import fcntl, json, os, struct, sys

MINIRDR_IOC_STOP = 0xC0205201  # _IOWR('R', 1, struct minirdr_control)
STATUS_PENDING = 0x103
LAYOUT = "=IIQIIII"  # status, flags, ticket, deadline_ms, grace_ms, reserved[2]

directory = os.path.join(sys.argv[1], ".minirdr")
control = os.open(os.path.join(directory, "control"), os.O_RDWR)
argument = bytearray(struct.pack(LAYOUT, 0, 0, 0, 0, 0, 0, 0))
fcntl.ioctl(control, MINIRDR_IOC_STOP, argument)
status, _, ticket, *_ = struct.unpack(LAYOUT, argument)
print(f"status 0x{status:08x} ticket {ticket}", flush=True)
if status == STATUS_PENDING:
    with open(os.path.join(directory, "events"), buffering=1) as events:
        for event in map(json.loads, events):
            if event["kind"] == "stopped" and event["ticket"] == ticket:
                print(f"stopped: {event['result']}")
                break
