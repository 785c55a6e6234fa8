"""The calls of Samba's Python client against one server.

usage: samba_calls.py CONFIG BINDING denied|allowed
"""

import sys

from samba import WERRORError
from samba.credentials import Credentials
from samba.dcerpc import mgmt
from samba.param import LoadParm

loaded = LoadParm()
loaded.load(sys.argv[1])
credentials = Credentials()
credentials.guess(loaded)
credentials.set_anonymous()


def connect():
    return mgmt.mgmt(sys.argv[2], loaded, credentials)


def code(answer):
    """The number of a status, which Samba raises or returns."""
    try:
        result = answer()
    except WERRORError as error:
        return error.args[0]
    return result


server = connect()
interfaces = server.inq_if_ids()
assert interfaces.count == 1, interfaces.count
assert str(interfaces.if_id[0].id.uuid) == "afa8bd80-7d8a-11c9-bef4-08002b102989"
numbers = server.inq_stats(4, 0)
assert numbers.count == 4, numbers.count
assert server.is_server_listening() == (0, 1)
print("inquire: three calls decode; calls in", numbers.statistics[0])
if sys.argv[3] == "denied":
    assert code(server.stop_server_listening) == 5
    assert server.is_server_listening() == (0, 1), "nothing changed"
    print("denied: status 5, and it listens")
else:
    assert code(server.stop_server_listening) in (0, None)
    try:
        connect()
    except Exception as error:  # whatever Samba calls it
        print("allowed: answered 0; then", error)
    else:
        raise AssertionError("somebody listens")
