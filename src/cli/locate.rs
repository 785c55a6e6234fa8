//! From a NAME or a mount point to a daemon's socket, without ever touching the mount point.
//!
//! A path is resolved by hand: symlinks are followed only outside of FUSE mounts, because a
//! `readlink` inside one asks its daemon, and that daemon may hang.

use crate::base::clock::{Clock, SystemClock};
use crate::base::limits::CONTROL_REPLY_TIMEOUT;
use crate::base::name::{PLAIN_NAME_RULE, is_plain_name};
use crate::cli::environment::Environment;
use crate::cli::exit::Trouble;
use crate::cli::mountinfo::{self, Mount};
use crate::cli::table::printable;
use crate::mgmt::client::{Client, ClientError, FoundSocket, socket_path, sockets};
use crate::mgmt::proto::MountStatus;
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// The longest path a Unix socket can be bound to (`sun_path` less its NUL).
const SOCKET_PATH_MAX: usize = 107;
/// Symbolic links followed before a path is taken for a loop, as the kernel does.
const LINKS_MAX: usize = 40;

/// Is this a mount's name: letters, digits and `._-+@:`, not starting with `.` or `-`?
///
/// # Errors
/// Usage: what a name is made of.
pub fn check_name(name: &str) -> Result<(), Trouble> {
    if is_plain_name(name) {
        return Ok(());
    }
    Err(Trouble::usage(format!(
        "{name:?} cannot name a mount: {PLAIN_NAME_RULE}; choose one with --name"
    )))
}

/// Does the socket of this name fit into an address?
///
/// # Errors
/// Usage: the name is too long for the directory.
pub fn check_socket_length(runtime_dir: &Path, name: &str) -> Result<(), Trouble> {
    let length = socket_path(runtime_dir, name).as_os_str().len();
    if length <= SOCKET_PATH_MAX {
        return Ok(());
    }
    Err(Trouble::usage(format!(
        "the name {name:?} is {} bytes too long for a socket in {}; choose another with --name",
        length - SOCKET_PATH_MAX,
        runtime_dir.display()
    )))
}

/// A mount's daemon, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The mount's name.
    pub name: String,
    /// Its control socket.
    pub socket: PathBuf,
    /// The provider of it that is meant; none: all of it.
    pub provider: Option<String>,
}

/// A mount, or one provider of it, at the beginning of a line.
#[must_use]
pub fn label(name: &str, provider: Option<&str>) -> String {
    match provider {
        None => name.to_owned(),
        Some(provider) => format!("{name} provider {}", printable(provider.as_bytes())),
    }
}

/// How long a daemon that has unmounted is given to go away.
const DEPARTURE_WAIT: Duration = Duration::from_secs(3);
/// How often it is looked for.
const DEPARTURE_LOOK: Duration = Duration::from_millis(20);

impl Target {
    /// Waits a moment for the daemon's socket to go, so that `umount` and `mount` in a row do not
    /// meet; did it go?
    pub fn await_departure(&self) -> bool {
        let clock = SystemClock::new();
        let end = clock.now().after(DEPARTURE_WAIT);
        while Client::connect(&self.socket).is_ok() || self.name_is_held() {
            if clock.now() >= end {
                return false;
            }
            std::thread::sleep(DEPARTURE_LOOK);
        }
        !exists(&self.socket)
    }

    /// Does the daemon still hold its name's lock? So long the next `mount` of that name would be
    /// refused (S-03).
    fn name_is_held(&self) -> bool {
        lock_is_held(&self.socket)
    }

    /// Connects to the daemon.
    ///
    /// # Errors
    /// Not running, unreachable or not permitted.
    pub fn connect(&self) -> Result<Client, Trouble> {
        let client = Client::connect(&self.socket);
        let mut client = client.map_err(|error| explain(&self.name, &error))?;
        client.about(self.provider.clone());
        Ok(client)
    }

    /// The same mount, but this provider of it, if one is named.
    #[must_use]
    pub fn of(self, provider: &Option<String>) -> Self {
        Self { provider: provider.clone(), ..self }
    }

    /// It, at the beginning of a line.
    #[must_use]
    pub fn label(&self) -> String {
        label(&self.name, self.provider.as_deref())
    }
}

/// Is the lock beside this socket held? A daemon holds it from before its socket is there until its
/// process has ended. A lock that this user may not look at counts as free.
fn lock_is_held(socket: &Path) -> bool {
    let Ok(lock) = std::fs::File::open(socket.with_extension("lock")) else { return false };
    let probe = rustix::fs::FlockOperation::NonBlockingLockShared;
    rustix::fs::flock(&lock, probe) == Err(rustix::io::Errno::WOULDBLOCK)
}

/// Does a process hold this name in one of the directories this user's sockets are in?
#[must_use]
pub fn is_held(name: &str, environment: &Environment) -> bool {
    let mut directories = socket_directories(environment).into_iter();
    directories.any(|directory| lock_is_held(&socket_path(&directory, name)))
}

/// Finds the daemon of a NAME or a mount point.
///
/// # Errors
/// Not running; unreachable when it is mounted and nobody answers for it.
pub fn find(what: &OsStr, environment: &Environment) -> Result<Target, Trouble> {
    let directories = socket_directories(environment);
    let is_path = what.as_bytes().contains(&b'/') || what == "." || what == "..";
    let named = what.to_str().filter(|name| !is_path && check_name(name).is_ok());
    if let Some(name) = named {
        let candidates = directories.iter().map(|directory| socket_path(directory, name));
        if let Some(socket) = candidates.into_iter().find(|path| exists(path)) {
            return Ok(Target { name: name.to_owned(), socket, provider: None });
        }
    }
    let mounts = read_mounts()?;
    let path = resolve(Path::new(what), &mounts)?;
    if let Some(target) = find_by_mount_point(&path, &mounts, &directories) {
        return Ok(target);
    }
    let shown = printable(path.as_os_str().as_bytes());
    let doctor = "`minirdr doctor` says how to clear it";
    match mountinfo::at(&mounts, &path) {
        Some(mount) if mount.is_ours() => Err(Trouble::unreachable(format!(
            "{shown} is mounted, but no daemon answers for it; {doctor}"
        ))),
        Some(mount) => Err(Trouble::not_running(format!(
            "{shown} is a mount of type {}, not of minirdr",
            mount.kind
        ))),
        None if is_path => {
            Err(Trouble::not_running(format!("nothing of minirdr is mounted on {shown}")))
        }
        None => Err(Trouble::not_running(format!(
            "there is no mount named {}; `minirdr list` shows those there are",
            printable(what.as_bytes())
        ))),
    }
}

/// Where sockets are looked for: this user's own directory, then root's; for root everybody's. An
/// explicitly chosen directory is the only one.
#[must_use]
pub fn socket_directories(environment: &Environment) -> Vec<PathBuf> {
    let own = environment.runtime_dir.clone();
    let system = PathBuf::from("/run/minirdr");
    if environment.uid != 0 {
        return vec![own, system];
    }
    if own != system {
        return vec![own];
    }
    let mut directories = vec![own];
    directories.extend(children("/run/user").into_iter().map(|user| user.join("minirdr")));
    directories.extend(children("/tmp").into_iter().filter(|path| is_users_own(path)));
    directories
}

/// Every control socket this user is to see, once.
#[must_use]
pub fn all_sockets(environment: &Environment, own_only: bool) -> Vec<FoundSocket> {
    let directories = match own_only && environment.uid != 0 {
        true => vec![environment.runtime_dir.clone()],
        false => socket_directories(environment),
    };
    // A directory that cannot be read has nothing this user could speak to.
    directories.iter().flat_map(|directory| sockets(directory).unwrap_or_default()).collect()
}

fn children(directory: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// `/tmp/minirdr-UID`, and it really is UID's directory: anybody may make names in /tmp.
fn is_users_own(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    let uid = name.and_then(|name| name.strip_prefix("minirdr-"));
    let Some(uid) = uid.and_then(|uid| uid.parse::<u32>().ok()) else { return false };
    // The name first: anything else in /tmp may be a mount point, and is not looked at (invariant
    // 8).
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == uid)
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Reads mountinfo.
///
/// # Errors
/// `/proc` is not there.
pub fn read_mounts() -> Result<Vec<Mount>, Trouble> {
    mountinfo::read().map_err(|error| Trouble::system("read /proc/self/mountinfo", &error))
}

/// Asks each daemon whether the path is its mount point, or a bind mount of it.
#[must_use]
pub fn find_by_mount_point(
    path: &Path,
    mounts: &[Mount],
    directories: &[PathBuf],
) -> Option<Target> {
    find_within((path, mounts, directories), CONTROL_REPLY_TIMEOUT)
}

/// The same, within this time for all of them. Each is given a moment first, and those that were
/// silent what is left: one that hangs does not hide the others.
///
/// What is mounted there is known by its device, whatever a daemon says of the place; and whoever
/// did not mount it does not answer for it.
#[must_use]
pub fn find_within(
    (path, mounts, directories): (&Path, &[Mount], &[PathBuf]),
    patience: Duration,
) -> Option<Target> {
    let mount = mountinfo::at(mounts, path).filter(|mount| mount.is_ours());
    let likely = path.file_name();
    let mut found: Vec<FoundSocket> =
        directories.iter().flat_map(|directory| sockets(directory).unwrap_or_default()).collect();
    found.sort_by_key(|socket| Some(OsStr::new(&socket.name)) != likely);
    let clock = SystemClock::new();
    let last = clock.now().after(patience);
    for moment in [FIRST_ANSWER_WAIT, patience] {
        let mut silent = Vec::new();
        for socket in found {
            let left = last.since(clock.now());
            match answer(&socket, (path, mount), moment.min(left)) {
                Answer::It => {
                    return Some(Target { name: socket.name, socket: socket.path, provider: None });
                }
                Answer::Another => {}
                Answer::Silence => silent.push(socket),
            }
        }
        found = silent;
    }
    None
}

/// How long each daemon is given when all are asked for the first time.
const FIRST_ANSWER_WAIT: Duration = Duration::from_secs(1);

/// What a daemon is, as far as was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    It,
    Another,
    Silence,
}

/// Asks one daemon whether it serves the mount, or the path where nothing of ours is mounted.
fn answer(socket: &FoundSocket, asked: (&Path, Option<&Mount>), patience: Duration) -> Answer {
    if patience.is_zero() {
        return Answer::Silence;
    }
    let Ok(mut client) = Client::connect(&socket.path) else { return Answer::Another };
    let owner = asked.1.and_then(|mount| mount.owner);
    if owner.is_some() && client.owner() != owner {
        return Answer::Another;
    }
    let clock = SystemClock::new();
    let until = clock.now().after(patience);
    client.while_waiting(move || match clock.now() < until {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    });
    match client.status() {
        Ok(status) if serves(&status, asked) => Answer::It,
        Err(ClientError::Interrupted) => Answer::Silence,
        Ok(_) | Err(_) => Answer::Another,
    }
}

fn serves(status: &MountStatus, (path, mount): (&Path, Option<&Mount>)) -> bool {
    match mount {
        Some(mount) => status.device == mount.device,
        None => status.mount_point == path.to_string_lossy(),
    }
}

/// The absolute path without symlinks, `.` and `..`, resolved without entering a FUSE mount.
///
/// # Errors
/// A loop of symlinks; no current directory.
pub fn resolve(path: &Path, mounts: &[Mount]) -> Result<PathBuf, Trouble> {
    let attempt = || format!("resolve {}", printable(path.as_os_str().as_bytes()));
    if path.as_os_str().is_empty() {
        return Err(Trouble::usage("a NAME or mount point cannot be empty"));
    }
    let absolute = std::path::absolute(path).map_err(|error| Trouble::system(attempt(), &error))?;
    let is_foreign = |path: &Path| {
        mountinfo::at(mounts, path).is_some_and(|mount| mount.kind.starts_with("fuse"))
    };
    let read_link = |path: &Path| match rustix::fs::readlink(path, Vec::new()) {
        Ok(target) => Some(PathBuf::from(OsStr::from_bytes(target.to_bytes()))),
        Err(_) => None,
    };
    walk(&absolute, &is_foreign, &read_link).map_err(|error| Trouble::system(attempt(), &error))
}

/// Resolves an absolute path. `is_foreign` says where symlinks must not be looked for from there
/// on; `read_link` gives a symlink's target, nothing for anything else.
fn walk(
    path: &Path,
    is_foreign: &dyn Fn(&Path) -> bool,
    read_link: &dyn Fn(&Path) -> Option<PathBuf>,
) -> io::Result<PathBuf> {
    let mut links = 0;
    let mut resolved = PathBuf::from("/");
    let mut inside = None;
    let mut rest: Vec<OsString> = words(path);
    while let Some(word) = rest.pop() {
        if word == ".." {
            resolved.pop();
            if inside.as_ref().is_some_and(|mount: &PathBuf| !resolved.starts_with(mount)) {
                inside = None;
            }
            continue;
        }
        resolved.push(&word);
        if inside.is_none() && is_foreign(&resolved) {
            inside = Some(resolved.clone());
        }
        if inside.is_some() {
            continue;
        }
        if let Some(target) = read_link(&resolved) {
            links += 1;
            if links > LINKS_MAX {
                return Err(io::Error::from(rustix::io::Errno::LOOP));
            }
            resolved.pop();
            if target.is_absolute() {
                resolved = PathBuf::from("/");
            }
            rest.extend(words(&target));
        }
    }
    Ok(resolved)
}

/// The names of a path, last first.
fn words(path: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(word) => Some(word.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
        })
        .collect();
    words.reverse();
    words
}

/// A client's error as the user's: who did not answer, and what that means for the state.
#[must_use]
pub fn explain(name: &str, error: &ClientError) -> Trouble {
    let text = format!("{name}: {error}");
    match error {
        ClientError::Unreachable { source, .. } => match source.kind() {
            io::ErrorKind::NotFound => Trouble::not_running(format!(
                "there is no mount named {name}; `minirdr list` shows those there are"
            )),
            io::ErrorKind::PermissionDenied => {
                Trouble::not_permitted(format!("{text}: {}", super::exit::plain(source)))
            }
            io::ErrorKind::ConnectionRefused => Trouble::unreachable(format!(
                "{name}: its daemon is gone and left its socket; \
                 `minirdr doctor` says how to clear it"
            )),
            _ => Trouble::unreachable(format!("{text}: {}", super::exit::plain(source))),
        },
        ClientError::Lost { .. } | ClientError::NoAnswer { .. } | ClientError::Protocol { .. } => {
            Trouble::unreachable(text)
        }
        ClientError::Denied(_) => Trouble::not_permitted(text),
        // What the command line allowed and the daemon cannot take, such as an event not yet
        // numbered.
        ClientError::Failed { name: word, message } if word.ends_with(".InvalidParameter") => {
            let what = message.strip_prefix("InvalidParameter: ").unwrap_or(message);
            Trouble::usage(format!("{name}: the daemon does not take this value of \"{what}\""))
        }
        ClientError::Failed { name: word, .. } => {
            let code = match word.as_str() {
                "UnknownTicket" => "unknown_ticket",
                "Refused" => "refused",
                "TooMany" => "too_many",
                _ => "failed",
            };
            Trouble { code, ..Trouble::failed(text) }
        }
        ClientError::Interrupted => {
            Trouble { exit: super::exit::Exit::INTERRUPTED, code: "interrupted", message: text }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn names_are_one_word_that_no_shell_minds() {
        for good in ["bk", "pvc-1f0a", "a.b_c", "données", "x@host:1", "7"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "-f", "a/b", "a b", "a\n", "a*", "a\u{202e}b"] {
            assert_eq!(check_name(bad).map_err(|t| t.code), Err("usage"), "{bad:?}");
        }
    }

    #[test]
    fn a_socket_must_fit_into_an_address() {
        let directory = Path::new("/run/minirdr");
        assert_eq!(check_socket_length(directory, &"x".repeat(89)), Ok(()));
        let trouble = check_socket_length(directory, &"x".repeat(90)).expect_err("one too many");
        assert!(trouble.message.contains("1 bytes too long"), "{trouble}");
    }

    /// Resolves in a world of symlinks; `/mnt` is foreign. Tells what was looked at.
    fn resolve_in(links: &[(&str, &str)], path: &str) -> (io::Result<PathBuf>, Vec<PathBuf>) {
        let looked_at = RefCell::new(Vec::new());
        let read_link = |path: &Path| {
            looked_at.borrow_mut().push(path.to_owned());
            let link = links.iter().find(|(from, _)| Path::new(from) == path);
            link.map(|(_, to)| PathBuf::from(to))
        };
        let is_foreign = |path: &Path| path == Path::new("/mnt/bk");
        let resolved = walk(Path::new(path), &is_foreign, &read_link);
        (resolved, looked_at.into_inner())
    }

    #[test]
    fn paths_are_resolved_as_the_kernel_does() {
        let links = [("/l", "/mnt/bk"), ("/d/r", "../mnt/./bk"), ("/a", "/b"), ("/b", "/c")];
        let cases = [
            ("/mnt/bk", "/mnt/bk"),
            ("/mnt/bk/", "/mnt/bk"),
            ("/x/../mnt//./bk", "/mnt/bk"),
            ("/l", "/mnt/bk"),
            ("/d/r", "/mnt/bk"),
            ("/a/z", "/c/z"),
            ("/mnt/bk/../y", "/mnt/y"),
            ("/..", "/"),
        ];
        for (path, expected) in cases {
            let (resolved, _) = resolve_in(&links, path);
            assert_eq!(resolved.expect(path), Path::new(expected), "{path}");
        }
    }

    /// Design README invariant 8: the mount point is never touched, nor anything below it.
    #[test]
    fn nothing_at_or_below_a_mount_is_looked_at() {
        for path in ["/mnt/bk", "/mnt/bk/deep/er", "/l/x"] {
            let (_, looked_at) = resolve_in(&[("/l", "/mnt/bk")], path);
            assert!(looked_at.iter().all(|path| !path.starts_with("/mnt/bk")), "{looked_at:?}");
            assert!(!looked_at.is_empty(), "what is above is looked at");
        }
    }

    #[test]
    fn a_loop_of_links_ends() {
        let (resolved, _) = resolve_in(&[("/a", "/b"), ("/b", "/a")], "/a/x");
        assert!(resolved.is_err());
    }

    #[test]
    fn a_clients_error_tells_gone_from_unknown_from_forbidden() {
        let path = PathBuf::from("/run/x.sock");
        let unreachable = |kind: io::ErrorKind| ClientError::Unreachable {
            path: path.clone(),
            source: kind.into(),
        };
        let failed =
            |name: &str| ClientError::Failed { name: name.to_owned(), message: "m".to_owned() };
        let cases = [
            (unreachable(io::ErrorKind::NotFound), 3, "not_running"),
            (unreachable(io::ErrorKind::ConnectionRefused), 4, "unreachable"),
            (unreachable(io::ErrorKind::TimedOut), 4, "unreachable"),
            (unreachable(io::ErrorKind::PermissionDenied), 5, "not_permitted"),
            (ClientError::Denied("only root".to_owned()), 5, "not_permitted"),
            (failed("UnknownTicket"), 1, "unknown_ticket"),
            (failed("Refused"), 1, "refused"),
            (failed("org.varlink.service.MethodNotFound"), 1, "failed"),
            (failed("org.varlink.service.InvalidParameter"), 2, "usage"),
            (ClientError::Interrupted, 130, "interrupted"),
        ];
        for (error, exit, code) in cases {
            let trouble = explain("x", &error);
            assert_eq!((trouble.exit.0, trouble.code), (exit, code), "{error:?}");
        }
    }

    fn environment(uid: u32, runtime_dir: &str) -> Environment {
        let mut environment =
            Environment::from_lookup(uid, PathBuf::from("/bin/minirdr"), |_| None);
        environment.runtime_dir = PathBuf::from(runtime_dir);
        environment
    }

    #[test]
    fn users_see_their_own_and_roots_sockets() {
        assert_eq!(
            socket_directories(&environment(7, "/run/user/7/minirdr")),
            [Path::new("/run/user/7/minirdr"), Path::new("/run/minirdr")]
        );
        assert_eq!(socket_directories(&environment(0, "/t/minirdr")), [Path::new("/t/minirdr")]);
        assert_eq!(
            socket_directories(&environment(0, "/run/minirdr")).first().map(PathBuf::as_path),
            Some(Path::new("/run/minirdr"))
        );
    }
}
