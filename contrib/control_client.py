#!/usr/bin/env python3
"""Calls a minirdr daemon on its control socket and prints its replies, a line of JSON each.

usage: control_client.py SOCKET METHOD [PARAMETERS]    Status; Events; Stop '{"options": {"deadline_s": 30}}'

Ends with 0 done, 1 failed, 2 usage, 3 nobody listens, 4 the connection was lost, 5 not permitted; a stop also
with 10 handles are still open, 12 taken back, 13 some data was not saved. The methods: docs/MANAGEMENT.md.
"""
import json, socket, sys

ENDS = {"success": 0, "already_stopped": 0, "already_started": 0, "has_open_handles": 10, "rolled_back": 12, "lost": 13}


def main(path, method, parameters):
    call = {"method": f"io.minirdr.Control.{method}", "parameters": parameters, "more": True}
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.connect(path)
    except OSError as error:
        return 3, f"{path}: {error.strerror}"
    stream.sendall(json.dumps(call).encode() + b"\0")
    received, continues = b"", True
    while continues:  # Every reply but the last one says that there are others.
        while b"\0" not in received:
            received += (data := stream.recv(65536))
            if not data:
                return 4, f"{path}: the daemon went away before its last reply"
        message, _, received = received.partition(b"\0")
        reply = json.loads(message)
        continues = reply.get("continues", False)
        print(json.dumps(reply.get("parameters", {})), flush=True)
    if error := reply.get("error"):
        return 5 if error.endswith(".NotPermitted") else 1, error
    report = reply["parameters"].get("report") or {"result": "success"}
    return 1 if report.get("error") else ENDS.get(report["result"], 1), report.get("error") or ""


if __name__ == "__main__":
    try:
        path, method, parameters = (sys.argv[1:] + ["{}"])[:3]
        parameters = json.loads(parameters)
    except ValueError:
        sys.exit(print(__doc__, file=sys.stderr) or 2)
    try:
        code, why = main(path, method, parameters)
    except OSError as error:
        code, why = 4, f"{path}: {error.strerror}"
    print(why, end="\n" if why else "", file=sys.stderr)
    sys.exit(code)
