//! Who holds a mount, as `Check` answers it, on a real file system.

use crate::host::{Host, handle, serve};

/// The holders of a real file system: this process's descriptor is merged with the host's handle.
#[test]
fn check_names_the_holders() {
    use std::os::unix::fs::MetadataExt as _;
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("held");
    let held = std::fs::File::create_new(&path).expect("made");
    let device = held.metadata().expect("open").dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let mut host = Host::new();
    host.device = format!("{major}:{minor}");
    host.mount_point = "/dev/shm".to_owned();
    // The daemon of this test is this very process, and a daemon's own descriptors do not count.
    let mut child = std::process::Command::new("sleep")
        .arg("600")
        .stdin(held)
        .current_dir(directory.path())
        .spawn()
        .expect("sleep runs");
    let name = path.strip_prefix("/dev/shm").expect("beneath").to_str().expect("text").to_owned();
    let mut open = handle(1, name.as_bytes());
    open.opened_by.pid = child.id();
    open.mode = "w".to_owned();
    open.age_s = 0.0;
    host.open([open]);
    let running = serve(host);
    let check = running.client().check().expect("answered");
    child.kill().expect("killed");
    child.wait().expect("reaped");
    let his: Vec<_> =
        check.holders.iter().filter(|holder| holder.pid == Some(child.id())).collect();
    assert_eq!(his.len(), 2, "{his:?}");
    assert_eq!((his[0].path.as_str(), his[0].unsent_bytes), (name.as_str(), Some(7)));
    assert_eq!((his[1].kind.as_str(), his[1].mode.as_str()), ("cwd", "-"));
    assert_eq!(his[0].command.as_deref(), Some("sleep"));
}
