#!/usr/bin/env python3
"""Runs one unit as systemd would, as far as its stop goes, and says what happens.

usage: manager.py UNIT INSTANCE CONFIGURATION_DIRECTORY

Reads ExecStart=, ExecStop=, Environment=, EnvironmentFile=, TimeoutStopSec= and
SuccessExitStatus= of the unit, with %i and %E, ${X} as one word and $X as words. Type=notify with
NotifyAccess=main: only the main process is listened to. KillMode=mixed. A line on stdin stops the
service: ExecStop, then TERM, each with TimeoutStopSec, which EXTEND_TIMEOUT_USEC moves; then KILL.
Every line on stdout begins with the seconds since the start; it ends with 0 if the service was
ready, and its process and the stop ended well and in time.
"""
import os, re, select, shlex, signal, socket, subprocess, sys, tempfile, time

UNIT, INSTANCE, CONFIGURATION = sys.argv[1:]
BEGAN = time.monotonic()
SECONDS = {"s": 1, "min": 60, "ms": 0.001, "": 1}


def say(text):
    print(f"{time.monotonic() - BEGAN:6.1f}  {text}", flush=True)


def settings():
    text = open(UNIT, encoding="utf-8").read().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if not line.lstrip().startswith(("#", ";"))]
    pairs = [line.split("=", 1) for line in lines if "=" in line]
    place = lambda value: value.replace("%i", INSTANCE).replace("%E", CONFIGURATION)
    return [(key, place(value)) for key, value in pairs]


def of(key):
    return [value for name, value in SETTINGS if name == key]


def environment():
    found = {}
    for line in of("Environment"):
        found.update(word.split("=", 1) for word in shlex.split(line))
    for path in of("EnvironmentFile"):
        for line in open(path, encoding="utf-8"):
            if line.strip() and not line.startswith(("#", ";")):
                key, value = line.strip().split("=", 1)
                found[key] = " ".join(shlex.split(value))
    return found


def command(key, more):
    variables = {**ENVIRONMENT, **more}
    words = []
    for word in shlex.split(of(key)[0]):
        alone = re.fullmatch(r"\$(\w+)", word)
        if alone:
            words += variables.get(alone[1], "").split()
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda at: variables.get(at[1], ""), word))
    # Its own search path has no place for a program that is not installed.
    words[0] = os.environ["MINIRDR"] if words[0] == "minirdr" else words[0]
    return words


def seconds(span):
    number, unit = re.fullmatch(r"(\d+)\s*(\w*)", span).groups()
    return int(number) * SECONDS[unit]


SETTINGS = settings()
ENVIRONMENT = environment()
LIMIT = seconds(of("TimeoutStopSec")[0])
CLEAN = {0, *(int(code) for line in of("SuccessExitStatus") for code in line.split())}
TELLS = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
TELLS.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)


class Service:
    def __init__(self, place):
        TELLS.bind(os.path.join(place, "notify"))
        self.surroundings = {**os.environ, **ENVIRONMENT, "NOTIFY_SOCKET": TELLS.getsockname()}
        self.main = subprocess.Popen(command("ExecStart", {}), env=self.surroundings)
        self.pid, self.ready, self.failed, self.until = self.main.pid, False, False, None

    def listen(self, limit):
        """Takes one message, if one comes in time."""
        if not select.select([TELLS], [], [], limit)[0]:
            return
        data, control, _, _ = TELLS.recvmsg(4096, socket.CMSG_SPACE(12))
        sender = int.from_bytes(control[0][2][:4], sys.byteorder)
        if sender != self.pid:
            say(f"process {sender} is not the service's: {data!r}")
            self.failed = True
            return
        say(data.decode().rstrip("\n").replace("\n", "  "))
        for key, value in (line.split("=", 1) for line in data.decode().splitlines()):
            if key == "READY":
                self.ready = True
            elif key == "MAINPID":
                self.pid = int(value)
            elif key == "EXTEND_TIMEOUT_USEC" and self.until is not None:
                # From now on, and never shorter.
                self.until = max(self.until, time.monotonic() + int(value) / 1e6)

    def wait(self, what, process):
        """Listens until a process has ended, and no longer than its time."""
        self.until = time.monotonic() + LIMIT
        while process.poll() is None and time.monotonic() < self.until:
            self.listen(0.05)
        while select.select([TELLS], [], [], 0)[0]:
            self.listen(0)
        code = process.poll()
        say(f"{what} " + ("has not ended in time" if code is None else f"ended with {code}"))
        self.failed |= code not in CLEAN
        return code

    def stop(self):
        known = {"MAINPID": str(self.pid)}
        words = command("ExecStop", known)
        say("$ " + " ".join(words))
        surroundings = {**self.surroundings, **known}
        # Control processes do not find the socket with NotifyAccess=main.
        surroundings.pop("NOTIFY_SOCKET")
        control = subprocess.Popen(words, env=surroundings)
        if self.wait("ExecStop", control) is None:
            control.kill()
        if self.main.poll() is None:
            say("TERM to the main process")
            self.main.send_signal(signal.SIGTERM)
        if self.wait("the main process", self.main) is None:
            self.main.kill()


def main():
    with tempfile.TemporaryDirectory() as place:
        service = Service(place)
        say("$ " + " ".join(command("ExecStart", {})))
        while service.main.poll() is None:
            service.listen(0.05)
            if select.select([sys.stdin], [], [], 0)[0]:
                sys.stdin.readline()
                service.stop()
                break
        else:
            service.wait("the main process", service.main)
        return 0 if service.ready and not service.failed else 1


sys.exit(main())
