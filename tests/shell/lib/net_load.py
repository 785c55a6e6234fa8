#!/usr/bin/env python3
"""Load on a mount of several providers, until a line comes on stdin: two threads below /srv2/tmp,
which must meet no error, and one below /srv1/docs, which is swapped meanwhile and may meet ESTALE
on what it had opened through the old one. Says `good` and how often it went round, or what was
wrong."""
import errno, os, sys, threading, time
base, stop, bad = sys.argv[1], threading.Event(), []
rounds = [0, 0]
def others(number):
    path = f"{base}/srv2/tmp/load{number}"
    while not stop.is_set():
        try:
            with open(path, "w") as out: out.write("x" * 5000)
            with open(path) as back: assert len(back.read()) == 5000
            os.listdir(f"{base}/srv1"); os.stat(f"{base}/srv1/scratch"); os.unlink(path)
            rounds[0] += 1
        except Exception as error:
            bad.append(f"{path}: {error!r}")
def same():
    while not stop.is_set():
        try:
            with open(f"{base}/srv1/docs/d/x") as file: assert file.read() in ("a\n", "b\n")
            os.scandir(f"{base}/srv1/docs").close()
            rounds[1] += 1
        except OSError as error:
            # Opened through the old one, and used after the swap.
            if error.errno != errno.ESTALE: bad.append(f"docs: {error!r}")
threads = [threading.Thread(target=others, args=(n,)) for n in range(2)]
threads.append(threading.Thread(target=same))
for thread in threads: thread.start()
sys.stdin.readline()
stop.set()
for thread in threads: thread.join()
print(*bad[:5], sep="\n") if bad else print("good", *rounds)
