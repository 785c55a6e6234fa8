"""Reads an old event, waits for one, polls for one."""
import os, select
f = os.open(os.environ['M'] + '/.minirdr/events', os.O_RDONLY)
print(os.read(f, 4096).decode().strip(), flush=True)
print('waiting', flush=True)
print(os.read(f, 4096).decode().strip(), flush=True)
input()
g = os.open(os.environ['M'] + '/.minirdr/events', os.O_RDONLY | os.O_NONBLOCK)
while True:
  try: os.read(g, 4096)
  except BlockingIOError: break
p = select.poll(); p.register(g, select.POLLIN)
assert p.poll(0) == []
print('polling', flush=True)
print(p.poll(20000)[0][1], flush=True)
print(os.read(g, 4096).decode().strip(), flush=True)
