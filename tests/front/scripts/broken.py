"""Every removal fails with EIO."""
import os, errno
m = os.environ['M']
open(f'{m}/f', 'w').close(); os.mkdir(f'{m}/d')
for i in range(20):
  for call, name in ((os.unlink, 'f'), (os.rmdir, 'd')):
    try: call(f'{m}/{name}'); assert False
    except OSError as e: assert e.errno == errno.EIO, e
