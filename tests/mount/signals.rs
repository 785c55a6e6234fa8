//! Who waits for a server that hangs can be killed or signalled, whatever it waits for, and others
//! go on (S-44; docs/decisions/0007).

use crate::client::Client;
use crate::common::wait_until;
use crate::mounted::{Mounted, can_mount};
use minirdr::base::clock::{Clock, Moment, SystemClock};
use rustix::fs::statvfs;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Waits in a server that hangs, in the way it is told; says how that ended, and lives on.
const WAITER: &str = r#"
import errno, fcntl, os, signal, sys
class Signalled(Exception): pass
def signalled(*_): raise Signalled
for number in signal.SIGUSR1, signal.SIGINT, signal.SIGTERM:
    signal.signal(number, signalled)
    signal.siginterrupt(number, True)
root, how = sys.argv[1], sys.argv[2]
at = lambda name: os.path.join(root, name)
fd = os.open(at("held"), os.O_RDWR) if how in ("read", "write") else None
print("waiting", flush=True)
try:
    if how == "read": os.read(fd, 10)
    elif how == "write": os.write(fd, b"x")
    elif how == "stat": os.stat(at("held"))
    elif how == "open": os.open(at("held"), os.O_RDONLY)
    elif how == "lookup": os.stat(at("absent"))
    elif how == "create": os.open(at("new"), os.O_CREAT | os.O_WRONLY)
    elif how == "rename": os.rename(at("held"), at("moved"))
    elif how == "list": os.listdir(root)
    print("done", flush=True)
except Signalled:
    print("interrupted", flush=True)
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
sys.stdin.readline()
"#;

/// How one waits, what is asked of the server then, and the fault that makes it hang.
struct Wait {
    how: &'static str,
    request: &'static str,
    callout: &'static str,
}

const READS: [Wait; 5] = [
    Wait { how: "read", request: "read", callout: "read" },
    Wait { how: "open", request: "open", callout: "open" },
    Wait { how: "lookup", request: "lookup", callout: "lookup" },
    Wait { how: "stat", request: "getattr", callout: "query_file_information" },
    Wait { how: "list", request: "readdir", callout: "query_directory" },
];

const CHANGES: [Wait; 3] = [
    Wait { how: "write", request: "write", callout: "write" },
    Wait { how: "create", request: "create", callout: "create" },
    Wait { how: "rename", request: "rename", callout: "rename" },
];

/// A server that hangs in one callout, once: what others ask of it is answered.
fn hanging(wait: &Wait, fault: &str) -> Mounted {
    let options = format!("attr_timeout=0s,entry_timeout=0s,{}={fault}", wait.callout);
    let mounted = Mounted::source("faulty:local:", &options);
    fs::write(mounted.backing().join("held"), b"never read").expect("written");
    fs::create_dir(mounted.backing().join("others")).expect("made");
    fs::write(mounted.backing().join("others/file"), b"read").expect("written");
    mounted
}

/// Somebody who waits there.
fn waiting(mounted: &Mounted, wait: &Wait) -> Client {
    let arguments = [mounted.path(), wait.how.into()];
    let client = Client::python(WAITER, &[&arguments[0], &arguments[1]]);
    client.says("waiting");
    wait_until("it waits", || mounted.requests(wait.request) > 0);
    client
}

/// Processes that may not be ended are in state D; this one's state.
fn state(client: &Client) -> char {
    let stat = fs::read_to_string(format!("/proc/{}/stat", client.pid())).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next()).unwrap_or('-')
}

fn signal(client: &Client, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(client.pid()).expect("a pid"));
    kill_process(pid.expect("a pid"), signal).expect("it lives");
}

/// From the signal to its effect.
const SOON: Duration = Duration::from_secs(1);

/// Nobody waits in D state for a server that hangs: it is gone, or a zombie of ours.
#[track_caller]
fn is_gone(client: &Client, what: &str) {
    assert!(matches!(state(client), '-' | 'Z' | 'X'), "{what}: {}", state(client));
}

/// The stop at the end: the server still has what cannot be cancelled, and is given up on.
fn give_up(mounted: &Mounted, what: &str) {
    let words = ["stop", "t", "--wait", "--deadline", "100ms", "--on-deadline", "cancel"];
    let outcome = mounted.run(&words);
    assert!(matches!(outcome.code, 0 | 10 | 13), "{what}: {outcome:?}");
}

/// S-44: who is killed while it waits for a server that hangs, cancellably or not, is gone within a
/// second and not in D state; others go on meanwhile.
#[test]
fn whatever_it_waits_for_it_can_be_killed() {
    if !can_mount() {
        return;
    }
    for wait in READS.iter().chain(&CHANGES) {
        for fault in ["hang#1", "hang-uncancellable#1"] {
            let what = format!("{} with {fault}", wait.how);
            let mounted = hanging(wait, fault);
            let mut client = waiting(&mounted, wait);
            mounted.bounded("others", || match wait.how {
                // The kernel has the directory locked: no name can be looked up there.
                "create" | "rename" => drop(statvfs(mounted.path()).expect("statfs")),
                _ => drop(fs::metadata(mounted.at("others/file")).expect("stat")),
            });
            let took = client.kill();
            assert!(took < SOON, "{what}: {took:?} to die");
            is_gone(&client, &what);
            give_up(&mounted, &what);
        }
    }
}

/// S-44: so is one that is told to end and does not handle it: TERM kills as KILL does.
#[test]
fn term_kills_who_does_not_handle_it() {
    if !can_mount() {
        return;
    }
    for wait in READS.iter().chain(&CHANGES) {
        let mounted = hanging(wait, "hang-uncancellable#1");
        let directory = mounted.path();
        let script = match wait.how {
            "read" => "exec cat held",
            "open" => "exec cat < held",
            "lookup" => "exec cat absent",
            "stat" => "exec stat held",
            "list" => "exec ls",
            "write" => "exec sh -c 'echo x >>held'",
            "create" => "exec touch new",
            _ => "exec mv held moved",
        };
        // Entering it may hang already.
        let script = format!("cd {} && {script}", directory.display());
        let mut client = Client::shell(&script, Path::new("/"));
        wait_until("it waits", || mounted.requests(wait.request) > 0);
        let clock = SystemClock::new();
        signal(&client, Signal::TERM);
        client.end(SOON);
        assert!(clock.now().since(Moment(0)) < SOON, "{}", wait.how);
        is_gone(&client, wait.how);
        give_up(&mounted, wait.how);
    }
}

/// Signals a waiting program, which handles it; gives what it says then, within a second.
fn signalled(wait: &Wait, fault: &str, kind: Signal) -> String {
    let mounted = hanging(wait, fault);
    let client = waiting(&mounted, wait);
    let clock = SystemClock::new();
    signal(&client, kind);
    let said = client.line();
    let took = clock.now().since(Moment(0));
    assert!(took < SOON, "{} with {fault}: {took:?} to say {said}", wait.how);
    client.finish();
    give_up(&mounted, wait.how);
    said
}

/// S-44: who only asks is let go by any signal it handles, whether the server can be told or not.
#[test]
fn who_asks_is_let_go_by_any_signal() {
    if !can_mount() {
        return;
    }
    for wait in &READS {
        for (fault, kind) in [("hang#1", Signal::USR1), ("hang-uncancellable#1", Signal::USR1)] {
            assert_eq!(signalled(wait, fault, kind), "interrupted", "{} with {fault}", wait.how);
        }
    }
}

/// S-44: who changes something is let go by a signal that asks programs to end; by another one only
/// where the server can be told to leave it.
#[test]
fn who_changes_something_is_let_go_by_signals_to_end() {
    if !can_mount() {
        return;
    }
    for wait in &CHANGES {
        for (fault, kind) in [
            ("hang#1", Signal::USR1),
            ("hang#1", Signal::TERM),
            ("hang-uncancellable#1", Signal::INT),
            ("hang-uncancellable#1", Signal::TERM),
        ] {
            assert_eq!(signalled(wait, fault, kind), "interrupted", "{} with {fault}", wait.how);
        }
    }
}
