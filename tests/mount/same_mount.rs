//! The same mount after a stop and a start, and after its daemon was killed (S-06, S-38).

use crate::common::wait_until;
use crate::mounted::{Mounted, can_mount, is_root, mounts_on};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use std::fs;
use std::path::{Path, PathBuf};

/// A bind mount, taken away when it is dropped.
struct Bind(PathBuf);

impl Bind {
    fn of(from: &Path, to: PathBuf) -> Self {
        rustix::mount::mount_bind(from, &to).expect("root may bind");
        Self(to)
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

fn errno<T>(result: std::io::Result<T>) -> Option<Errno> {
    result.err().and_then(|error| Errno::from_io_error(&error))
}

/// Bind mounts of the whole, of a subdirectory and of a single file, all made before the stop.
fn binds_work_again(mounted: &Mounted) {
    let deep = mounted.at("outer/inner");
    let [whole, sub, single] =
        ["whole", "sub", "single"].map(|name| mounted.elsewhere().join(name));
    mounted.bounded("making", || {
        fs::create_dir_all(&deep).expect("made");
        fs::write(deep.join("file"), b"before").expect("written");
    });
    fs::create_dir(&whole).expect("made");
    fs::create_dir(&sub).expect("made");
    fs::write(&single, b"").expect("made");
    let _binds = mounted.bounded("binding", || {
        [
            Bind::of(&mounted.path(), whole.clone()),
            Bind::of(&deep, sub.clone()),
            Bind::of(&deep.join("file"), single.clone()),
        ]
    });
    let everywhere = [whole.join("outer/inner/file"), sub.join("file"), single.clone()];
    mounted.bounded("using the bind mounts", || {
        for round in 0..3 {
            let content = format!("round {round}");
            fs::write(deep.join("file"), &content).expect("written");
            for path in &everywhere {
                assert_eq!(fs::read_to_string(path).expect("read"), content, "{path:?}");
            }
            mounted.stop(0);
            for path in &everywhere {
                assert_eq!(errno(fs::read(path)), Some(Errno::SHUTDOWN), "{path:?}");
            }
            mounted.start();
            for path in &everywhere {
                assert_eq!(fs::read_to_string(path).expect("read"), content, "{path:?}");
            }
            fs::write(sub.join("new"), b"made through the bind mount").expect("made");
            fs::rename(sub.join("new"), sub.join(format!("new-{round}"))).expect("moved");
            assert_eq!(fs::read_dir(whole.join("outer/inner")).expect("listed").count(), 2 + round);
        }
    });
}

/// S-38.
#[test]
fn bind_mounts_of_memory_work_again() {
    if can_mount() && is_root() {
        binds_work_again(&Mounted::memory(""));
    }
}

/// S-38.
#[test]
fn bind_mounts_of_local_work_again() {
    if can_mount() && is_root() {
        binds_work_again(&Mounted::local(""));
    }
}

/// S-38: so does a program's working directory, however deep.
#[test]
fn a_working_directory_works_again() {
    const WORKER: &str = r#"
import errno, os, sys
os.makedirs(os.path.join(sys.argv[1], "a/b/c"))
os.chdir(os.path.join(sys.argv[1], "a/b/c"))
def attempt(what):
    try:
        what()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]
print("there", flush=True)
for name in "one", "two":
    sys.stdin.readline()
    print(attempt(lambda: open(name, "w").close()), flush=True)
sys.stdin.readline()
print(sorted(os.listdir(".")), os.path.basename(os.getcwd()), flush=True)
"#;
    if !can_mount() {
        return;
    }
    for mounted in [Mounted::memory(""), Mounted::local("")] {
        let mut worker = mounted.client(WORKER);
        worker.says("there");
        mounted.stop(0);
        worker.go_on();
        worker.says("ESHUTDOWN");
        mounted.start();
        worker.go_on();
        worker.says("done");
        worker.go_on();
        worker.says("['two'] c");
        worker.finish();
    }
}

/// S-06: a killed daemon leaves a dead mount, in which nothing hangs; the next `mount` on the same
/// directory, under the same name, takes it away and works at once.
#[test]
fn a_killed_daemon_is_no_obstacle() {
    if !can_mount() {
        return;
    }
    let mut mounted = Mounted::local("");
    let path = mounted.at("file");
    mounted.bounded("writing", || fs::write(&path, b"kept").expect("written"));
    for round in 0..3 {
        let holder = mounted.client(
            "import os, sys; f = open(sys.argv[1] + '/file'); os.chdir(sys.argv[1]); print('in'); \
             sys.stdin.readline()",
        );
        holder.says("in");
        mounted.kill();
        let read = mounted.bounded("a dead mount refuses", || fs::read(&path));
        assert_eq!(errno(read), Some(Errno::NOTCONN));
        let outcome = mounted.mount("local:", "");
        assert!(outcome.err.contains("took a dead mount away"), "{}", outcome.err);
        let content = mounted.bounded("reading", || fs::read(&path).expect("read"));
        assert_eq!(content, b"kept", "round {round}");
        assert_eq!(mounted.mounts(), 1, "nothing is stacked");
        holder.finish();
    }
}

/// Killed in the middle of everything: nothing a program was told is on the server is missing.
#[test]
fn what_fsync_acknowledged_survives_a_killed_daemon() {
    const WRITER: &str = r#"
import os, sys
fd = os.open(os.path.join(sys.argv[1], "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
number = 0
try:
    while True:
        os.write(fd, b"%08d\n" % number)
        os.fsync(fd)
        number += 1
        if number == 20:
            print("writing", flush=True)
except OSError:
    print(number, flush=True)
"#;
    if !can_mount() {
        return;
    }
    let mounted = Mounted::local("");
    let writer = mounted.client(WRITER);
    writer.says("writing");
    mounted.kill();
    let acknowledged: usize = writer.line().parse().expect("a number");
    let log = fs::read_to_string(mounted.backing().join("log")).expect("it is there");
    let lines = log.lines().count();
    assert!(lines == acknowledged || lines == acknowledged + 1, "{lines} of {acknowledged}");
    writer.finish();
}

/// S-03: with the mount gone the directory, the name and the process are free again.
#[test]
fn mounted_and_unmounted_in_a_row() {
    if !can_mount() {
        return;
    }
    let mut mounted = Mounted::memory("");
    for _ in 0..5 {
        mounted.bounded("writing", || fs::write(mounted.at("f"), b"x").expect("written"));
        mounted.expect(0, &["umount", "t"]);
        assert_eq!(mounts_on(&mounted.path()), 0);
        wait_until("the daemon has ended", || mounted.has_ended());
        assert_eq!(fs::read_dir(mounted.path()).expect("listed").count(), 0);
        mounted.mount("memory:", "");
    }
}
