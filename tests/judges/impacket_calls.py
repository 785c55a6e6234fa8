"""The calls of impacket's remote management client against one server: what each must say.

usage: impacket_calls.py PORT inquire|denied|allowed|gone
"""

import socket
import sys

from impacket.dcerpc.v5 import mgmt
from impacket.dcerpc.v5.rpcrt import DCERPCException
from impacket.dcerpc.v5.transport import DCERPCTransportFactory
from impacket.uuid import bin_to_uuidtup

PORT = int(sys.argv[1])


def connect():
    transport = DCERPCTransportFactory(f"ncacn_ip_tcp:127.0.0.1[{PORT}]")
    transport.set_connect_timeout(10)
    rpc = transport.get_dce_rpc()
    rpc.connect()
    rpc.bind(mgmt.MSRPC_UUID_MGMT)
    return rpc


def code(call):
    """The status a call was answered with."""
    try:
        call()
    except DCERPCException as error:
        return error.get_error_code()
    return 0


def inquire():
    rpc = connect()
    answer = mgmt.hinq_if_ids(rpc)
    ids = answer["if_id_vector"]["if_id"]
    assert len(ids) == 1 and answer["status"] == 0, answer.dump()
    raw = ids[0]["Data"]["Uuid"] + ids[0]["Data"]["VersMajor"].to_bytes(2, "little")
    raw += ids[0]["Data"]["VersMinor"].to_bytes(2, "little")
    assert bin_to_uuidtup(raw) == ("AFA8BD80-7D8A-11C9-BEF4-08002B102989", "1.0"), raw
    statistics = mgmt.hinq_stats(rpc)
    numbers = list(statistics["statistics"])
    assert statistics["status"] == 0 and statistics["count"] == 4, numbers
    assert numbers[0] >= 2 and numbers[1] == 0 and numbers[2] == numbers[3] + 1 == 3, numbers
    assert mgmt.his_server_listening(rpc)["status"] == 0
    assert mgmt.hinq_princ_name(rpc)["status"] == 1747, "no principal"
    print("inquire: five calls decode; statistics", numbers)


def denied():
    rpc = connect()
    assert code(lambda: mgmt.hstop_server_listening(rpc)) == 5
    assert mgmt.his_server_listening(rpc)["status"] == 0, "nothing changed"
    connect()
    print("denied: status 5, and it listens")


def allowed():
    rpc, idle, half = connect(), connect(), socket.create_connection(("127.0.0.1", PORT))
    half.sendall(b"\5\0\13\3\20\0\0\0")
    assert mgmt.hstop_server_listening(rpc)["status"] == 0
    half.settimeout(5)
    assert half.recv(1) == b"", "closed"
    idle.get_rpc_transport().get_socket().settimeout(5)
    assert idle.get_rpc_transport().get_socket().recv(1) == b"", "closed"
    print("allowed: answered 0; idle and half-sent connections closed")


def gone():
    try:
        connect()
    except DCERPCException as error:
        assert "refused" in str(error), error
        print("gone: connection refused")
        return
    raise AssertionError("somebody listens")


{"inquire": inquire, "denied": denied, "allowed": allowed, "gone": gone}[sys.argv[2]]()
