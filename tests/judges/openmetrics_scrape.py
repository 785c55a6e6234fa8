"""Parses our metrics with prometheus_client's own parsers: SOCKET FILE..., each FILE.om and FILE.prom, in order."""

import json
import socket
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus


def samples(families):
    found = {}
    for family in families:
        assert family.documentation, f"{family.name} has no HELP"
        assert family.type in ("counter", "gauge", "histogram", "info"), (family.name, family.type)
        for sample in family.samples:
            labels = dict(sample.labels)
            if "le" in labels:
                # The formats write a bound differently.
                labels["le"] = float(labels["le"])
            key = (sample.name, tuple(sorted(labels.items())))
            assert sample.labels["mount"] == "judged", sample
            assert key not in found, f"twice: {key}"
            found[key] = sample.value
    return found


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def get(scrape, name, **labels):
    return scrape[(name, tuple(sorted({"mount": "judged", **labels}.items())))]


def only_counts(before, after):
    """The series of a scrape are those of the last one, and what counts never counts down."""
    assert before.keys() == after.keys(), sorted(before.keys() ^ after.keys())[:5]
    for key, value in before.items():
        name = key[0]
        # The lanes' begin anew with every start, and say so.
        if name.endswith(("_total", "_bucket", "_count", "_sum")) and "_lane_" not in name:
            assert after[key] >= value, (key, value, after[key])


def main():
    path, files = sys.argv[1], sys.argv[2:]
    scrapes = [samples(openmetrics(read(f"{file}.om"))) for file in files]
    old = [samples(prometheus(read(f"{file}.prom"))) for file in files]
    for new, before in zip(scrapes, old):
        assert new.keys() == before.keys(), sorted(new.keys() ^ before.keys())[:5]
    for before, after in zip(scrapes, scrapes[1:]):
        only_counts(before, after)
    fresh, used, stopped, started = scrapes
    assert get(fresh, "minirdr_state", state="started") == 1
    assert get(used, "minirdr_written_bytes_total") - get(fresh, "minirdr_written_bytes_total") == 8
    assert get(stopped, "minirdr_state", state="startable") == 1
    assert get(stopped, "minirdr_stops_total", result="success") == 1
    assert get(stopped, "minirdr_stop_duration_seconds_count") == 1
    refused = sum(value for key, value in stopped.items() if key[0] == "minirdr_refused_requests_total")
    assert refused > 0, "the stopped mount was asked"
    assert get(started, "minirdr_starts_total", result="success") == 2

    asked = {"method": "io.minirdr.Control.Metrics", "parameters": {}}
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(path)
        stream.sendall(json.dumps(asked).encode() + b"\0")
        reply = b""
        while not reply.endswith(b"\0"):
            reply += stream.recv(1 << 16)
    reply = json.loads(reply[:-1])["parameters"]
    assert reply["content_type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8", reply
    only_counts(started, samples(openmetrics(reply["text"])))
    print(f"{len(started)} samples, {len(files)} scrapes, both formats, and one from the socket")


main()
