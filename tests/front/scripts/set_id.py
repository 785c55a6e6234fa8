"""Who clears set-id bits by truncating, writing, changing the owner."""
import os
m = os.environ['M']
p = f'{m}/f'
os.chmod(m, 0o777)
def fresh():
  open(p, 'w').write('data')
  os.chown(p, 1000, 1000)
  os.chmod(p, 0o6777)
def mode(): return os.stat(p).st_mode & 0o7777
def as_user(what):
  if os.fork() == 0:
    os.setgroups([]); os.setgid(1000); os.setuid(1000); what(); os._exit(0)
  assert os.wait()[1] == 0
fresh(); assert mode() == 0o6777
fresh(); as_user(lambda: os.truncate(p, 1)); assert mode() == 0o777, oct(mode())
fresh(); as_user(lambda: open(p, 'w')); assert mode() == 0o777, oct(mode())
fresh(); as_user(lambda: open(p, 'r+').write('x')); assert mode() == 0o777, oct(mode())
fresh(); os.truncate(p, 1); assert mode() == 0o6777, oct(mode())
fresh(); os.chown(p, 0, 0); assert mode() == 0o777, oct(mode())
