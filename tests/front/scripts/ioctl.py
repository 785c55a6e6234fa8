"""A stop by ioctl, and two numbers that are no commands."""
import fcntl, os, struct
f = os.open(os.environ['M'] + '/.minirdr/control', os.O_RDWR)
arg = bytearray(struct.pack('=IIQIIII', 0, 1 | 2, 0, 1500, 0, 0, 0))
assert fcntl.ioctl(f, 0xc0205201, arg) == 0
print('%#x %d' % (struct.unpack_from('=I', arg)[0], struct.unpack_from('=Q', arg, 8)[0]))
for code in (0x5401, 0xc0205209):
  try: fcntl.ioctl(f, code, arg); assert False
  except OSError as e: assert e.errno == 25, e
