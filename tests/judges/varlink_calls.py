"""The calls of varlink's own Python client against one daemon: what each must say.

usage: varlink_calls.py SOCKET
"""

import sys
import threading

import varlink

SOCKET, NAME = sys.argv[1], "io.minirdr.Control"


def failure(call):
    """The error a call was answered with: its name and its parameters."""
    try:
        call()
    except varlink.VarlinkError as error:
        return error.args[0]["error"], error.args[0]["parameters"]
    raise AssertionError("there was no error")


def described(client):
    """It reads our interface as varlink's language has it: every method, type and error."""
    assert set(client.get_interfaces()) == {"org.varlink.service", NAME}, client.info
    members = client.get_interface(NAME).members.values()
    methods = {one.name for one in members if type(one).__name__ == "_Method"}
    assert {"Status", "Stop", "Start", "Wait", "Events", "Shutdown"} <= methods, methods
    return len(members), len(methods)



def followed(control, ticket):
    """The replies to a stop with `more`: pending, its events, its report."""
    replies = list(control.Stop({"reason": "a judge", "deadline_s": 30.0}, _more=True))
    first, events, last = replies[0], [one["event"] for one in replies[1:-1]], replies[-1]
    assert (first["status"], first["ticket"], first.get("report")) == (259, ticket, None), first
    numbers = [event["seq"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), numbers
    assert events[0]["kind"] == "stop_requested" and events[0]["reason"] == "a judge", events[0]
    ends = [event for event in events if event["kind"] == "stopped" and event["ticket"] == ticket]
    assert ends == events[-1:] and ends[0]["result"] == "success", events
    assert (last["status"], last["report"]["result"], last["ticket"]) == (0, "success", ticket), last
    return len(events)


with varlink.Client(address=f"unix:{SOCKET}") as client:
    with client.open("org.varlink.service") as service:
        info = service.GetInfo()
        assert (info["vendor"], info["product"]) == ("minirdr", "minirdr"), info
        assert f"interface {NAME}" in service.GetInterfaceDescription(NAME)["description"]
        strange = failure(lambda: service.GetInterfaceDescription("com.example.none"))
        assert strange[0] == "org.varlink.service.InterfaceNotFound", strange
    print("described: %d members, %d of them methods" % described(client))

    with client.open(NAME) as control, client.open(NAME) as other:
        status = control.Status()
        assert (status["state"], status["mounted"], status["generation"]) == ("started", True, 1), status
        unknown = failure(lambda: control.Wait(99, None, None))
        assert unknown[0] == f"{NAME}.UnknownTicket" and "ticket 99" in unknown[1]["message"], unknown
        refused = failure(lambda: control.Detach(9))
        assert refused[0] == f"{NAME}.Refused" and refused[1]["message"], refused

        # Another client waits for the stop, from before it.
        waited = []
        waiter = threading.Thread(target=lambda: waited.append(other.Wait(None, "stopped", 30.0)))
        waiter.start()
        events = followed(control, status["last_start"]["ticket"] + 1)
        waiter.join(30)
        assert waited and waited[0]["report"]["result"] == "success", waited
        again = control.Stop(None)
        assert again["report"]["result"] == "already_stopped" and again.get("ticket") is None, again
        print(f"stop: pending, {events} events, the report; and a client that waited")

        started = list(control.Start(_more=True))
        assert started[-1]["report"]["result"] == "success", started
        assert control.Status()["generation"] == 2
        kinds = [event["kind"] for event in control.Events(0, None, None)["events"]]
        kinds = [kind for kind in kinds if kind != "save_config"]
        assert kinds.count("stopped") == 1 and kinds[-1] == "started", kinds
        print("start: generation 2")
