"""Flags, offsets and attributes, and the errors of the wrong ones."""
import os, errno, ctypes
m = os.environ['M']
libc = ctypes.CDLL(None, use_errno=True)
def rename(a, b, flags):
  r = libc.renameat2(-100, f'{m}/{a}'.encode(), -100, f'{m}/{b}'.encode(), flags)
  return ctypes.get_errno() if r else 0
open(f'{m}/a', 'w').write('a'); open(f'{m}/b', 'w').write('b')
assert rename('a', 'b', 1) == errno.EEXIST
assert rename('a', 'b', 2) == 0
assert open(f'{m}/a').read() == 'b'
assert rename('a', 'b', 4) == errno.EINVAL
assert rename('a', 'c', 1) == 0
os.setxattr(f'{m}/c', 'user.k', b'v' * 100)
assert os.getxattr(f'{m}/c', 'user.k') == b'v' * 100
assert os.listxattr(f'{m}/c') == ['user.k']
try: os.setxattr(f'{m}/c', 'user.k', b'', os.XATTR_CREATE); assert False
except FileExistsError: pass
os.removexattr(f'{m}/c', 'user.k')
try: os.getxattr(f'{m}/c', 'user.k'); assert False
except OSError as e: assert e.errno == errno.ENODATA
f = os.open(f'{m}/sparse', os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
os.pwrite(f, b'x' * 4096, 1 << 20)
assert os.lseek(f, 0, os.SEEK_DATA) <= 1 << 20
assert os.lseek(f, 1 << 20, os.SEEK_HOLE) >= (1 << 20) + 4096
os.posix_fallocate(f, 0, 1 << 21)
assert os.fstat(f).st_size == 1 << 21
g = os.open(f'{m}/copy', os.O_RDWR | os.O_CREAT)
n = os.copy_file_range(f, g, 4096, 1 << 20, 10)
assert n == 4096 and os.pread(g, 5, 10) == b'xxxxx'
h = os.open(f'{m}/copy', os.O_WRONLY | os.O_APPEND)
os.write(h, b'end')
assert os.pread(g, 3, 10 + 4096) == b'end'
os.truncate(g, 2)
assert os.fstat(g).st_size == 2
v = os.statvfs(m)
assert v.f_namemax == 255
try: os.mkdir(m + '/' + 'x' * 256); assert False
except OSError as e: assert e.errno == errno.ENAMETOOLONG
