"""What a stopped mount refuses, and what it answers."""
import os, errno
m = os.environ['M']
os.stat(m); os.statvfs(m)
try: open(m + '/f'); assert False
except OSError as e: assert e.errno == errno.ESHUTDOWN, e
assert open(m + '/.minirdr/status').read() == 'state: running\n'
assert os.listdir(m + '/.minirdr')
