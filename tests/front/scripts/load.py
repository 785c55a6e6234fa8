"""Three threads at work; says "on" for each line read, when each has done five rounds more."""
import os, sys, threading
m = os.environ['M']
end = False
counts = [0] * 3
errors = []
def work(n):
  try:
    f = os.open(f'{m}/keep{n}', os.O_RDWR | os.O_CREAT)
    while not end:
      i = counts[n]
      os.pwrite(f, b'%08d' % i, 0); assert os.pread(f, 8, 0) == b'%08d' % i
      p = f'{m}/t{n}-{i}'
      with open(p, 'w') as g: g.write(p)
      assert open(p).read() == p
      os.rename(p, p + 'r'); os.unlink(p + 'r'); os.stat(m); os.listdir(m)
      counts[n] += 1
  except BaseException as e: errors.append(repr(e))
ts = [threading.Thread(target=work, args=(n,)) for n in range(3)]
[t.start() for t in ts]
print('loaded', flush=True)
while True:
  if not sys.stdin.readline(): break
  before = min(counts)
  while min(counts) < before + 5 and not errors: pass
  print('on' if not errors else errors, flush=True)
end = True
[t.join() for t in ts]
print(errors, flush=True)
