"""System calls as a case needs them: refused, as another user, and those Python lacks."""
import ctypes, errno, os, sys

libc = ctypes.CDLL(None, use_errno=True)
NOW, OMIT = (1 << 30) - 1, (1 << 30) - 2


def refused(code, action, *words):
    """It fails with this errno."""
    try:
        action(*words)
    except OSError as error:
        assert error.errno == code, (words, error)
    else:
        raise AssertionError(("should have been refused", words))


def as_user(user, groups, action):
    """What a user gets, whose group has the same number: 0, or an errno."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            os.setgroups(groups)
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            action()
            code = 0
        except OSError as error:
            code = error.errno
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code != 255
    return code


def make(name, mode=0o666):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, mode))


class Timespec(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]


def utimens(path, accessed, modified):
    """Each a pair of seconds and nanoseconds; of a symlink itself."""
    pair = (Timespec * 2)(Timespec(*accessed), Timespec(*modified))
    if libc.utimensat(-100, path.encode(), pair, 0x100) != 0:
        raise OSError(ctypes.get_errno(), path)


def acl(*entries):
    """The bytes of an access control list; each entry is tag, permissions, id."""
    value = (2).to_bytes(4, "little")
    for tag, permissions, who in entries:
        value += tag.to_bytes(2, "little") + permissions.to_bytes(2, "little")
        value += (who & 0xFFFFFFFF).to_bytes(4, "little")
    return value
