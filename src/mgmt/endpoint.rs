//! The place where a daemon listens: its name's lock and its socket, in a directory others can
//! read.
//!
//! One daemon a name: `NAME.lock` is locked from before anything is mounted until the daemon is
//! gone, so that of two that start at once one is told so. Under that lock a socket that refuses is
//! stale (its daemon was killed) and is replaced; one that answers is never touched. At the end
//! only what was made here is removed: an inode is compared, never just a name.

use crate::base::clock::{Clock, SystemClock};
use crate::mgmt::client::socket_path;
use crate::mgmt::dying::is_leaving;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, flock, fstat, open, statat,
};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often to try again when the lock file is replaced while it is being locked.
const LOCK_ATTEMPTS: usize = 16;
/// A daemon that was killed lets go of its lock within this.
const LEAVE_WAIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The directory: everybody may look, its owner alone may make files. Who may do what is decided
/// inside.
const DIRECTORY_MODE: u32 = 0o755;
/// The socket: everybody may connect. Who may do what is decided inside.
const SOCKET_MODE: u32 = 0o666;

/// Why a daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The name cannot be a file's.
    #[error(
        "{0:?} names no mount: it is empty, or has a slash, a leading dot or a control character"
    )]
    BadName(String),
    /// The kernel takes about 100 bytes for a socket's path.
    #[error("{} is too long for a socket's path: choose a shorter name", .0.display())]
    PathTooLong(PathBuf),
    /// Another daemon has this name.
    #[error("a daemon named {name} is already running{}", and_pid(*pid))]
    AlreadyRunning {
        /// The name.
        name: String,
        /// Its process, if it said so.
        pid: Option<u32>,
    },
    /// Something that is no socket is where the socket belongs.
    #[error("{} is in the way and is no socket", .0.display())]
    NotASocket(PathBuf),
    /// Others could replace the socket.
    #[error("{} may be written by others: not safe for a control socket", .0.display())]
    UnsafeDirectory(PathBuf),
    /// The system refused something.
    #[error("{action} {}", path.display())]
    System {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

/// The process in a message, if it is known.
fn and_pid(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", pid {pid}"))
}

/// Makes a [`EndpointError::System`] of what the system said.
fn refused<E: Into<io::Error>>(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> EndpointError {
    let path = path.to_owned();
    move |source| EndpointError::System { action, path, source: source.into() }
}

/// Which file it is, whatever it is called now.
type Identity = (u64, u64);

fn identity(path: &Path) -> Option<(Identity, FileType)> {
    let found = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(((found.st_dev, found.st_ino), FileType::from_raw_mode(found.st_mode)))
}

/// A name that is this process's until dropped. Taken before anything else is done for a mount.
#[derive(Debug)]
pub struct Claim {
    name: String,
    socket: PathBuf,
    lock: PathBuf,
    /// Holds the lock while it is open.
    file: File,
}

impl Claim {
    /// Claims `name` in `directory`, which is made if it does not exist.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn take(directory: &Path, name: &str) -> Result<Self, EndpointError> {
        let bad = |character: char| character == '/' || character.is_control();
        if name.is_empty() || name.starts_with('.') || name.contains(bad) {
            return Err(EndpointError::BadName(name.to_owned()));
        }
        let socket = socket_path(directory, name);
        let lock = directory.join(format!("{name}.lock"));
        Self::take_at(directory, name, socket, lock)
    }

    /// Claims this very path, with its lock beside it, for a socket whose name others choose.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn at(socket: &Path) -> Result<Self, EndpointError> {
        let name = socket.file_name().map(|name| name.to_string_lossy().into_owned());
        let (Some(name), Some(directory)) = (name, socket.parent()) else {
            return Err(EndpointError::BadName(socket.display().to_string()));
        };
        let mut lock = socket.as_os_str().to_owned();
        lock.push(".lock");
        Self::take_at(directory, &name, socket.to_owned(), lock.into())
    }

    fn take_at(
        directory: &Path,
        name: &str,
        socket: PathBuf,
        lock: PathBuf,
    ) -> Result<Self, EndpointError> {
        SocketAddrUnix::new(&socket).map_err(|_| EndpointError::PathTooLong(socket.clone()))?;
        prepare(directory)?;
        let file = lock_file(&lock, name)?;
        let claim = Self { name: name.to_owned(), socket, lock, file };
        claim.sign().map_err(refused("writing", &claim.lock))?;
        claim.probe()?;
        Ok(claim)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the socket is, or will be.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Begins to listen.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn listen(self) -> Result<Endpoint, EndpointError> {
        self.probe()?;
        let listener =
            UnixListener::bind(&self.socket).map_err(refused("listening on", &self.socket))?;
        let made = identity(&self.socket).map(|(identity, _)| identity);
        let endpoint = Endpoint { claim: self, listener, made };
        let path = &endpoint.claim.socket;
        std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))
            .map_err(refused("opening to all users", path))?;
        Ok(endpoint)
    }

    /// Writes this process's number into the lock, for people and for a second daemon to read.
    fn sign(&self) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())
    }

    fn take_away_stale(&self) -> Result<(), EndpointError> {
        log::info!("taking away the stale socket {}", self.socket.display());
        std::fs::remove_file(&self.socket)
            .map_err(refused("taking away the stale socket", &self.socket))
    }

    /// Makes sure that nobody listens, and takes a stale socket away.
    fn probe(&self) -> Result<(), EndpointError> {
        let Some((_, kind)) = identity(&self.socket) else { return Ok(()) };
        if kind != FileType::Socket {
            return Err(EndpointError::NotASocket(self.socket.clone()));
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(refused("probing", &self.socket))?;
        let address = SocketAddrUnix::new(&self.socket)
            .map_err(|_| EndpointError::PathTooLong(self.socket.clone()))?;
        match connect(&probe, &address) {
            Err(Errno::NOENT) => Ok(()),
            Err(Errno::CONNREFUSED) => self.take_away_stale(),
            // A full queue of callers is a sign of life too.
            Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => {
                match credentials(&probe).map(|peer| peer.pid).filter(|pid| *pid != 0) {
                    // It has let go of the lock already.
                    Some(pid) if is_leaving(pid) => self.take_away_stale(),
                    pid => Err(EndpointError::AlreadyRunning { name: self.name.clone(), pid }),
                }
            }
            Err(error) => Err(refused("probing", &self.socket)(error)),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Still locked, so nobody can hold the name through this file any more once it is gone;
        // whoever waits for its lock finds the name gone and makes a new one.
        let ours = fstat(&self.file).ok().map(|file| (file.st_dev, file.st_ino));
        if ours.is_some() && identity(&self.lock).map(|(identity, _)| identity) == ours {
            let _ = std::fs::remove_file(&self.lock);
        }
    }
}

/// A socket that is listened on; taken away when dropped.
#[derive(Debug)]
pub struct Endpoint {
    claim: Claim,
    listener: UnixListener,
    made: Option<Identity>,
}

impl Endpoint {
    /// What to accept from.
    #[must_use]
    pub const fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// The name that is claimed.
    #[must_use]
    pub fn name(&self) -> &str {
        self.claim.name()
    }

    /// Where the socket is.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.claim.socket()
    }

    /// Takes the socket away. The name is still claimed, so no other daemon's can be there.
    pub(in crate::mgmt) fn remove(&self) {
        let found = identity(&self.claim.socket).map(|(identity, _)| identity);
        if found.is_some() && found == self.made {
            let _ = std::fs::remove_file(&self.claim.socket);
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Makes the directory if it is missing, and makes sure that nobody else can put files into it.
fn prepare(directory: &Path) -> Result<(), EndpointError> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        Ok(()) => {
            // Whatever the umask said.
            let mode = Permissions::from_mode(DIRECTORY_MODE);
            std::fs::set_permissions(directory, mode)
                .map_err(refused("opening to all users", directory))?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refused("making the directory", directory)(error)),
    }
    let found = statat(CWD, directory, AtFlags::empty())
        .map_err(refused("looking at the directory", directory))?;
    if !FileType::from_raw_mode(found.st_mode).is_dir() {
        let error = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(refused("using as a directory", directory)(error));
    }
    let mode = Mode::from_raw_mode(found.st_mode);
    let trusted = found.st_uid == 0 || found.st_uid == rustix::process::geteuid().as_raw();
    // Where a sticky bit is, others can add files and take none away: the lock sees to the rest.
    let open = mode.intersects(Mode::WGRP | Mode::WOTH) && !mode.contains(Mode::SVTX);
    if trusted && !open {
        Ok(())
    } else {
        Err(EndpointError::UnsafeDirectory(directory.to_owned()))
    }
}

/// Opens and locks the file at `path`, made if missing.
fn lock_file(path: &Path, name: &str) -> Result<File, EndpointError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    let clock = SystemClock::new();
    let until = clock.now().after(LEAVE_WAIT);
    let mut attempts = LOCK_ATTEMPTS;
    while attempts > 0 {
        let file = File::from(open(path, flags, mode).map_err(refused("opening", path))?);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let read = file.take(16).read_to_string(&mut text);
                let pid = read.ok().and_then(|_| text.trim().parse().ok());
                // Its mount may be gone already, and its lock goes in a moment.
                if pid.is_some_and(is_leaving) && clock.now() < until {
                    std::thread::park_timeout(LOOK_EVERY);
                    continue;
                }
                return Err(EndpointError::AlreadyRunning { name: name.to_owned(), pid });
            }
            Err(error) => return Err(refused("locking", path)(error)),
        }
        // The last holder may have removed it between the opening and the locking.
        let locked = fstat(&file).map_err(refused("looking at", path))?;
        if identity(path).is_some_and(|(found, _)| found == (locked.st_dev, locked.st_ino)) {
            return Ok(file);
        }
        attempts -= 1;
    }
    Err(EndpointError::AlreadyRunning { name: name.to_owned(), pid: None })
}

/// Who is at the other end of a socket, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mgmt) struct Credentials {
    /// 0 when it is in another pid namespace.
    pub(in crate::mgmt) pid: u32,
    pub(in crate::mgmt) uid: u32,
    pub(in crate::mgmt) gid: u32,
}

/// SO_PEERCRED by nix: rustix keeps the pid as a number that cannot be 0, and it can.
pub(in crate::mgmt) fn credentials(socket: &impl AsFd) -> Option<Credentials> {
    let peer = getsockopt(&socket.as_fd(), PeerCredentials).ok()?;
    let pid = u32::try_from(peer.pid()).unwrap_or(0);
    Some(Credentials { pid, uid: peer.uid(), gid: peer.gid() })
}
