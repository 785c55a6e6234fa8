"""An fcntl lock, a question about one, a flock lock, each given up by a close."""
import os, fcntl, struct
m = os.environ['M']
f = os.open(f'{m}/f', os.O_RDWR | os.O_CREAT)
fcntl.lockf(f, fcntl.LOCK_EX, 10, 5)
ask = struct.pack('hhqqi', fcntl.F_WRLCK, 0, 0, 0, 0)
got = struct.unpack('hhqqi', fcntl.fcntl(f, fcntl.F_GETLK, ask))
print(got)
os.close(f)
g = os.open(f'{m}/f', os.O_RDWR)
fcntl.flock(g, fcntl.LOCK_SH | fcntl.LOCK_NB)
os.close(g)
