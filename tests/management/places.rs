//! Where a daemon listens: names, locks, stale and live sockets (management.md §7, 10),
//! and what a client says when nobody is there.

use crate::host::{Host, NAME, Running, own_policy, serve, service};
use minirdr::base::threads;
use minirdr::mgmt::client::{Client, ClientError, FoundSocket, socket_path, sockets};
use minirdr::mgmt::endpoint::{Claim, EndpointError};
use minirdr::mgmt::server::Server;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Barrier, Mutex};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("exists").permissions().mode() & 0o7777
}

/// Serves a new host in an existing directory.
fn serve_in(directory: &Path) -> Result<Server, EndpointError> {
    let endpoint = Claim::take(directory, NAME)?.listen()?;
    let service = service(&Arc::new(Host::new()), own_policy());
    Ok(Server::start(endpoint, service).expect("room for a thread"))
}

/// The pid in the error that somebody has the name.
fn taken_by(error: &EndpointError) -> Option<u32> {
    let EndpointError::AlreadyRunning { name, pid } = error else { panic!("{error:?}") };
    assert_eq!(name, NAME);
    *pid
}

/// Management.md §7, 10: what a killed daemon leaves is no obstacle.
#[test]
fn i10_a_stale_socket_is_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = socket_path(directory.path(), NAME);
    // As kill -9 leaves it: the socket's file with nobody behind it, and a lock nobody holds.
    drop(UnixListener::bind(&socket).expect("bound"));
    fs::write(directory.path().join(format!("{NAME}.lock")), "1\n").expect("written");
    assert!(matches!(Client::connect(&socket), Err(ClientError::Unreachable { .. })));
    let server = serve_in(directory.path()).expect("not in the way");
    Client::connect(&socket).expect("listens").status().expect("answered");
    server.stop();
    assert_eq!(fs::read_dir(directory.path()).expect("exists").count(), 0, "nothing is left");
}

/// Management.md §7, 10: a live socket is never stolen, whether its lock is there or not.
#[test]
fn i10_a_live_socket_is_never_stolen() {
    let Running { server, directory, .. } = serve(Host::new());
    let own = std::process::id();
    let by_lock = serve_in(directory.path()).expect_err("taken");
    assert_eq!(taken_by(&by_lock), Some(own));
    let text = by_lock.to_string();
    assert_eq!(text, format!("a daemon named {NAME} is already running, pid {}", own));
    // Somebody took the lock's file away: the socket still answers for itself.
    fs::remove_file(directory.path().join(format!("{NAME}.lock"))).expect("removed");
    let by_socket = serve_in(directory.path()).expect_err("taken");
    assert_eq!(taken_by(&by_socket), Some(own));
    Client::connect(server.socket()).expect("listens").status().expect("answered");
}

/// Of many that start at once one gets the name, again and again.
#[test]
fn one_of_many_gets_the_name() {
    const DAEMONS: usize = 8;
    for _ in 0..20 {
        let directory = tempfile::tempdir().expect("a directory");
        let (start, end) = (Arc::new(Barrier::new(DAEMONS)), Arc::new(Barrier::new(DAEMONS)));
        let winners = Arc::new(Mutex::new(0));
        let threads: Vec<_> = (0..DAEMONS)
            .map(|_| {
                let path = directory.path().to_owned();
                let (start, end) = (Arc::clone(&start), Arc::clone(&end));
                let winners = Arc::clone(&winners);
                threads::spawn("t-claim", move || {
                    start.wait();
                    let claim = Claim::take(&path, NAME);
                    match &claim {
                        Ok(_) => *winners.lock().expect("whole") += 1,
                        Err(error) => {
                            taken_by(error);
                        }
                    }
                    end.wait();
                })
                .expect("room")
            })
            .collect();
        threads.into_iter().for_each(threads::Thread::join);
        assert_eq!(*winners.lock().expect("whole"), 1);
        Claim::take(directory.path(), NAME).expect("free again");
    }
}

/// Only what was made is removed: another's socket in its place stays.
#[test]
fn only_its_own_socket_is_removed() {
    let Running { server, directory, .. } = serve(Host::new());
    let socket = server.socket().to_owned();
    fs::rename(&socket, directory.path().join("moved")).expect("moved");
    let other = UnixListener::bind(&socket).expect("bound");
    server.stop();
    assert!(socket.exists());
    drop(other);
}

#[test]
fn what_cannot_be_a_socket_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["", ".", "..", ".hidden", "a/b", "a\nb", "a\0b"] {
        let error = Claim::take(directory.path(), name).expect_err("no name");
        assert!(matches!(error, EndpointError::BadName(_)), "{name:?}: {error:?}");
    }
    let error = Claim::take(directory.path(), &"x".repeat(120)).expect_err("too long");
    assert!(matches!(error, EndpointError::PathTooLong(_)), "{error:?}");
    let socket = socket_path(directory.path(), NAME);
    fs::write(&socket, "precious").expect("written");
    let error = Claim::take(directory.path(), NAME).expect_err("in the way");
    assert!(matches!(error, EndpointError::NotASocket(_)), "{error:?}");
    assert_eq!(fs::read_to_string(&socket).expect("still there"), "precious");
    fs::remove_file(&socket).expect("removed");
    symlink("/dev/null", &socket).expect("linked");
    let error = Claim::take(directory.path(), NAME).expect_err("in the way");
    assert!(matches!(error, EndpointError::NotASocket(_)), "{error:?}");
    assert_eq!(fs::read_dir(directory.path()).expect("exists").count(), 1, "no lock is left");
}

/// Everybody may come in, and nobody else may put a socket in its place.
#[test]
fn the_directory_and_the_socket_have_their_modes() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("minirdr");
    let server = serve_in(&directory).expect("made");
    assert_eq!((mode(&directory), mode(server.socket())), (0o755, 0o666));
    server.stop();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).expect("changed");
    let error = serve_in(&directory).expect_err("open to all");
    assert!(matches!(error, EndpointError::UnsafeDirectory(_)), "{error:?}");
    let missing = parent.path().join("a/b");
    let error = serve_in(&missing).expect_err("its parent is missing");
    assert!(error.to_string().contains(missing.to_str().expect("text")), "{error}");
}

#[test]
fn sockets_are_listed_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    for file in ["b.sock", "a.sock", "a.lock", "notes"] {
        fs::write(directory.path().join(file), "").expect("written");
    }
    let found = |name: &str| FoundSocket {
        name: name.to_owned(),
        path: socket_path(directory.path(), name),
    };
    assert_eq!(sockets(directory.path()).expect("readable"), [found("a"), found("b")]);
    let missing = directory.path().join("none");
    assert_eq!(sockets(&missing).expect("no error"), []);
    assert!(sockets(&directory.path().join("notes")).is_err());
}

/// A daemon that goes away in the middle, or is none, is told apart from one that refuses.
#[test]
fn what_answers_may_be_no_daemon() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = socket_path(directory.path(), NAME);
    let unreachable = Client::connect(&socket).expect_err("nobody there");
    assert!(matches!(unreachable, ClientError::Unreachable { .. }), "{unreachable:?}");
    let answers: [&[u8]; 4] = [
        b"",
        b"HTTP/1.1 400\r\n\0",
        b"{\"parameters\":{\"name\":1}}\0",
        b"{\"error\":\"a.b.C\"}\0",
    ];
    let listener = UnixListener::bind(&socket).expect("bound");
    let thread = threads::spawn("t-answer", move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut byte = [1];
            while byte[0] != 0 {
                stream.read_exact(&mut byte).expect("a request");
            }
            stream.write_all(answer).expect("taken");
        }
    })
    .expect("room");
    let mut client = Client::connect(&socket).expect("listens");
    // One client throughout: after each error it makes itself a new connection.
    let lost = client.status().expect_err("went away");
    assert!(matches!(lost, ClientError::Lost { .. }), "{lost:?}");
    let garbage = client.status().expect_err("no JSON");
    assert!(matches!(garbage, ClientError::Protocol { .. }), "{garbage:?}");
    let other = client.status().expect_err("no status");
    assert!(matches!(other, ClientError::Protocol { .. }), "{other:?}");
    drop(client);
    let foreign = Client::connect(&socket).expect("listens").status().expect_err("an error");
    assert!(
        matches!(foreign, ClientError::Failed { ref name, .. } if name == "a.b.C"),
        "{foreign:?}"
    );
    thread.join();
}
