#!/usr/bin/env python3
"""A program that does what a test case says: it holds files, reads, writes, maps and locks them.

Commands come on stdin, one a line; each is answered by one line on stdout: `ok ...` or
`error NAME text`. Files are kept under names the case chooses:

  open f rw PATH | read f N | pread f OFFSET N | write f TEXT | fsync f | truncate f N | close f
  map f LENGTH | dirty f TEXT | peek f N | sync f | unmap f      a shared mapping
  lock f | trylock f | unlock f | flock f | tryflock f           byte-range and whole-file locks
  ioctl PATH TEXT | poll PATH SECONDS | cd PATH | fill f BYTES | quit
"""
import errno, fcntl, mmap, os, select, struct, sys

FLAGS = {
    "r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR, "a": os.O_WRONLY | os.O_APPEND,
    "c": os.O_RDWR | os.O_CREAT, "x": os.O_RDWR | os.O_CREAT | os.O_EXCL,
    "d": os.O_RDONLY | os.O_DIRECTORY,
}
files, maps = {}, {}


def rest(words, at):
    return " ".join(words[at:]).encode()


def lock(words, kind):
    fcntl.lockf(files[words[1]], kind)
    return ""


def poke(words):
    text = rest(words, 2)
    maps[words[1]][0:len(text)] = text
    return str(len(text))


def opened(words):
    files[words[1]] = os.open(" ".join(words[3:]), FLAGS[words[2]])
    return ""


def text(data):
    return f"{len(data)} {data[:200].rstrip(b'%c' % 0).decode('ascii', 'replace')}".rstrip()


def polled(words):
    poller = select.poll()
    descriptor = files[words[1]] if words[1] in files else os.open(words[1], os.O_RDONLY)
    poller.register(descriptor, select.POLLIN)
    return "readable" if poller.poll(float(words[2]) * 1000) else "nothing"


def done(action):
    action()
    return ""


COMMANDS = {
    "open": opened,
    "read": lambda w: text(os.read(files[w[1]], int(w[2]))),
    "pread": lambda w: text(os.pread(files[w[1]], int(w[3]), int(w[2]))),
    "write": lambda w: str(os.write(files[w[1]], rest(w, 2))),
    "fill": lambda w: str(os.write(files[w[1]], b"x" * int(w[2]))),
    "fsync": lambda w: done(lambda: os.fsync(files[w[1]])),
    "truncate": lambda w: done(lambda: os.ftruncate(files[w[1]], int(w[2]))),
    "close": lambda w: done(lambda: os.close(files.pop(w[1]))),
    "map": lambda w: done(lambda: maps.update({w[1]: mmap.mmap(files[w[1]], int(w[2]))})),
    "dirty": poke,
    "peek": lambda w: text(maps[w[1]][0:int(w[2])]),
    "sync": lambda w: done(lambda: maps[w[1]].flush()),
    "unmap": lambda w: done(lambda: maps.pop(w[1]).close()),
    "lock": lambda w: lock(w, fcntl.LOCK_EX),
    "trylock": lambda w: lock(w, fcntl.LOCK_EX | fcntl.LOCK_NB),
    "unlock": lambda w: lock(w, fcntl.LOCK_UN),
    "flock": lambda w: done(lambda: fcntl.flock(files[w[1]], fcntl.LOCK_EX)),
    "tryflock": lambda w: done(lambda: fcntl.flock(files[w[1]], fcntl.LOCK_EX | fcntl.LOCK_NB)),
    "poll": polled,
    "cd": lambda w: done(lambda: os.chdir(" ".join(w[1:]))),
}


def main():
    with open("/proc/self/comm", "w", encoding="ascii") as comm:
        comm.write(sys.argv[1])
    for line in sys.stdin:
        words = line.rstrip("\n").split(" ")
        if words[0] == "quit":
            print("ok", flush=True)
            return
        try:
            print(f"ok {COMMANDS[words[0]](words)}".rstrip(), flush=True)
        except OSError as error:
            name = errno.errorcode.get(error.errno, error.errno)
            print(f"error {name} {error.strerror}", flush=True)


main()
