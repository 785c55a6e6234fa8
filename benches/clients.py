#!/usr/bin/env python3
"""What clients of a daemon cost it: memory for each that is connected and silent, on the control socket and
on remote management; and what 100 followers of events cost those who use the mount. Needs root and FUSE.

usage: clients.py [MINIRDR]        default: target/release/minirdr
"""
import contextlib, json, os, socket, statistics, struct, subprocess, sys, tempfile, threading, time

MINIRDR = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/minirdr")
CLIENTS, ENDPOINTS = 100, 4
ROUND_SECONDS, ROUNDS = 0.5, 7
MANAGEMENT = bytes.fromhex("80bda8af8a7dc911bef408002b102989") + struct.pack("<I", 1)
NDR = bytes.fromhex("045d888aeb1cc9119fe808002b104860") + struct.pack("<I", 2)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Daemon:
    """A mount of memory: with remote management; unmounted at the end."""

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        run, self.mount = f"{self.directory.name}/run", f"{self.directory.name}/mnt"
        os.mkdir(run), os.mkdir(self.mount)
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": run}
        self.socket = f"{run}/minirdr/bench.sock"
        self.ports = [free_port() for _ in range(ENDPOINTS)]
        rpc = [word for port in self.ports for word in ("--rpc", f"ncacn_ip_tcp:127.0.0.1[{port}]")]
        self.minirdr("mount", "memory:", self.mount, "--name", "bench", "-o", "attr_timeout=0s", *rpc)
        with self.client() as client:
            self.pid = ask(client, "Status")["pid"]
        return self

    def __exit__(self, *_):
        self.minirdr("umount", "bench")
        self.directory.cleanup()

    def minirdr(self, *words):
        subprocess.run([MINIRDR, *words], env=self.environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def client(self):
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(self.socket)
        return stream

    def memory(self):
        """Resident, and of that its own: bytes."""
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as rollup:
            sizes = {line.split()[0]: int(line.split()[1]) * 1024 for line in rollup if line.endswith("kB\n")}
        return sizes["Rss:"], sizes["Private_Clean:"] + sizes["Private_Dirty:"]


def ask(stream, method, **parameters):
    call = {"method": f"io.minirdr.Control.{method}", "parameters": parameters}
    stream.sendall(json.dumps(call).encode() + b"\0")
    received = b""
    while not received.endswith(b"\0"):
        received += stream.recv(65536) or sys.exit("the daemon has gone")
    return json.loads(received[:-1])["parameters"]


def control_client(daemon, _number):
    """One that has asked for the status, and is silent then."""
    stream = daemon.client()
    ask(stream, "Status")
    return stream


def remote_client(daemon, number):
    """One that is bound and has asked whether it listens, and is silent then."""
    stream = socket.create_connection(("127.0.0.1", daemon.ports[number % ENDPOINTS]))
    bind = struct.pack("<HHIB3xHBB", 4280, 4280, 0, 1, 0, 1, 0) + MANAGEMENT + NDR
    for kind, body in ((11, bind), (0, struct.pack("<IHH", 0, 0, 2))):
        stream.sendall(struct.pack("<BBBB4sHHI", 5, 0, kind, 3, b"\x10\0\0\0", 16 + len(body), 0, 1) + body)
        assert stream.recv(4280)[2] == kind + (1 if kind == 11 else 2)
    return stream


def idle(name, connect):
    with Daemon() as daemon, contextlib.ExitStack() as clients:
        # The first one pays for what all of them share.
        connect(daemon, 0).close()
        before = daemon.memory()
        for number in range(CLIENTS):
            clients.enter_context(connect(daemon, number))
        resident, own = ((with_them - without) // CLIENTS for with_them, without in zip(daemon.memory(), before))
        print(f"an idle client, {name}: {resident} bytes resident, {own} of them the daemon's own "
              f"({before[0]} bytes with none, {CLIENTS} connected)", flush=True)


USER = """
import os, sys, time
count, end = 0, time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    os.stat(sys.argv[1])
    count += 1
print(count)
"""


def uses(daemon):
    """Calls of stat on the mount a second, each asked of the daemon, by a process that does nothing else."""
    words = [sys.executable, "-c", USER, f"{daemon.mount}/file", str(ROUND_SECONDS)]
    return int(subprocess.run(words, check=True, capture_output=True).stdout) / ROUND_SECONDS


def follow(stream, read):
    with contextlib.suppress(OSError):
        while data := stream.recv(65536):
            read[0] += data.count(b'"seq":')


def followed():
    """The mount is used while there are events all the time: told to nobody, and to followers."""
    with Daemon() as daemon, open(f"{daemon.mount}/file", "w", encoding="ascii"):
        over = threading.Event()

        def tell():
            with daemon.client() as client:
                while not over.wait(0.01):
                    ask(client, "Pause"), ask(client, "Resume")

        teller = threading.Thread(target=tell)
        teller.start()
        without, with_them, read, rates = [], [], [0], []
        for _ in range(ROUNDS):
            without.append(uses(daemon))
            streams = [daemon.client() for _ in range(CLIENTS)]
            for stream in streams:
                stream.sendall(b'{"method":"io.minirdr.Control.Events","more":true}\0')
            readers = [threading.Thread(target=follow, args=(stream, read)) for stream in streams]
            for reader in readers:
                reader.start()
            time.sleep(0.2)
            began, before = time.monotonic(), read[0]
            with_them.append(uses(daemon))
            rates.append((read[0] - before) / (time.monotonic() - began))
            for stream in streams:
                stream.shutdown(socket.SHUT_RDWR)
            for reader in readers:
                reader.join()
            for stream in streams:
                stream.close()
            time.sleep(0.6)
        over.set()
        teller.join()
        ratio = statistics.median(one / other for one, other in zip(with_them, without))
        print(f"stat on the mount: {statistics.median(without):.0f}/s with no followers, "
              f"{statistics.median(with_them):.0f}/s with {CLIENTS}, {ratio:.2f} of it, while they were told "
              f"{statistics.median(rates):.0f} events a second", flush=True)


idle("control socket", control_client)
idle("remote management", remote_client)
followed()
