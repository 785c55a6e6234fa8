//! A mount's life: how it comes, how it goes, whose it is, and that failures leave nothing.

use crate::can_mount;
use crate::common::wait_until;
use crate::fixture::{Fixture, LIMIT, client, memory_host, start};
use minirdr::front::error::FrontError;
use minirdr::front::options::{MountConfig, Mounter};
use minirdr::front::session::Ended;
use minirdr::front::transport::mountinfo;
use minirdr::rdbss::notice::DeregisterError;
use rustix::mount::{MountFlags, UnmountFlags};
use std::path::Path;

fn mounts_at(path: &Path) -> Vec<mountinfo::MountEntry> {
    let table = mountinfo::read().expect("/proc is mounted");
    table.into_iter().filter(|entry| entry.mount_point == path).collect()
}

#[test]
fn a_mount_answers_when_start_returns_and_goes_when_deregistered() {
    if !can_mount() {
        return;
    }
    let fixture = Fixture::with(|config| config.source = "memory:a,b c".into(), None);
    let entries = mounts_at(fixture.path());
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].kind, "fuse.minirdr");
    assert_eq!(entries[0].source, "memory:a,b c");
    assert_eq!(Some(entries[0].id), fixture.mount.mount_id());
    assert_eq!(Some(entries[0].device()), fixture.mount.device());
    assert_eq!(fixture.mount.mount_point().as_deref(), Some(fixture.path()));
    assert_eq!(fixture.shell("echo hello > $M/f && cat $M/f"), "hello\n");
    let registration = fixture.mount.registration();
    let path = fixture.path().to_owned();
    fixture.unmount();
    assert!(mounts_at(&path).is_empty());
    assert_eq!(registration.deregister(false), Ok(false), "it was gone already");
}

#[test]
fn a_busy_mount_says_so_and_can_be_asked_again_or_detached() {
    if !can_mount() {
        return;
    }
    let fixture = Fixture::new();
    let registration = fixture.mount.registration();
    let mut holder = fixture.python_beside(
        "import os\nf = open(os.environ['M'] + '/f', 'w')\nprint('open', flush=True)\ninput()\n\
         f.write('late')\nf.close()\nprint('closed', flush=True)\ninput()",
    );
    assert_eq!(holder.line(), "open");
    assert_eq!(registration.deregister(false), Err(DeregisterError::Busy));
    assert_eq!(registration.deregister(false), Err(DeregisterError::Busy), "and again");
    assert_eq!(registration.deregister(true), Ok(true));
    assert!(mounts_at(fixture.path()).is_empty());
    assert_eq!(registration.deregister(true), Ok(false));
    assert!(fixture.gone.try_recv().is_err(), "served until the last holder leaves");
    holder.go_on();
    assert_eq!(holder.line(), "closed");
    holder.go_on();
    holder.end();
    assert_eq!(fixture.gone.recv_timeout(LIMIT), Ok(Ended::KernelGone));
    fixture.mount.join();
    fixture.host.device.connection_gone();
}

/// fuse.md 1.9: fuser's own unmount took away an unrelated tmpfs.
#[test]
fn somebody_elses_mount_is_never_taken_away() {
    if !can_mount() {
        return;
    }
    let fixture = Fixture::new();
    let path = fixture.path().to_owned();
    let registration = fixture.mount.registration();
    let tmpfs = || {
        rustix::mount::mount("none", &path, "tmpfs", MountFlags::empty(), None).expect("root may");
    };
    let unmount = || rustix::mount::unmount(&path, UnmountFlags::empty()).expect("it is there");
    tmpfs();
    let refused = registration.deregister(true);
    assert!(matches!(&refused, Err(DeregisterError::Failed(words)) if words.contains("over ours")));
    assert_eq!(mounts_at(&path).len(), 2);
    unmount();
    // Ours goes by another's hand, and another's takes its place.
    unmount();
    assert_eq!(fixture.gone.recv_timeout(LIMIT), Ok(Ended::KernelGone));
    tmpfs();
    assert_eq!(registration.deregister(true), Ok(false));
    assert_eq!(mounts_at(&path)[0].kind, "tmpfs");
    unmount();
    // One that looks just the same: the kernel gives the numbers out again at once.
    let (device, number) = (fixture.mount.device(), fixture.mount.mount_id());
    let (other, _gone) =
        start(&fixture.config, fixture.host.device.clone(), None).expect("it is free again");
    // Other tests mount too, and may have taken one of the numbers.
    let same = (other.device(), other.mount_id()) == (device, number);
    assert_eq!(registration.deregister(true), Ok(false), "the same numbers: {same}");
    assert_eq!(mounts_at(&path).len(), 1);
    assert_eq!(other.registration().deregister(false), Ok(true));
    other.join();
    fixture.mount.join();
    fixture.host.device.connection_gone();
}

#[test]
fn the_helper_mounts_and_its_mount_is_ours_to_unmount() {
    if !can_mount() {
        return;
    }
    let fixture = Fixture::with(
        |config| {
            config.mounter = Mounter::Helper;
            config.source = "memory:a,suid\\b".into();
        },
        None,
    );
    let entries = mounts_at(fixture.path());
    assert_eq!((entries.len(), entries[0].kind.as_str()), (1, "fuse.minirdr"));
    assert_eq!(entries[0].source, "memory:a,suid\\b");
    assert_eq!(Some(entries[0].id), fixture.mount.mount_id());
    assert_eq!(fixture.shell("echo hello > $M/f && cat $M/f"), "hello\n");
    fixture.unmount();
}

/// `mount.fuse3 -o drop_privileges` mounts itself and passes `/dev/fd/N`.
#[test]
fn a_descriptor_mounted_by_another_is_adopted() {
    if !can_mount() {
        return;
    }
    use std::os::fd::AsRawFd as _;
    let place = tempfile::tempdir().expect("/tmp has room");
    let device = std::fs::File::options().read(true).write(true).open("/dev/fuse").expect("root");
    let number = device.as_raw_fd();
    let options = format!("fd={number},rootmode=40000,user_id=0,group_id=0,default_permissions");
    let options = std::ffi::CString::new(options).expect("no NUL");
    rustix::mount::mount(
        "theirs",
        place.path(),
        "fuse.minirdr",
        MountFlags::empty(),
        Some(options.as_c_str()),
    )
    .expect("root may");
    let host = memory_host();
    let config = MountConfig::new("memory:", format!("/dev/fd/{number}"));
    let (mount, gone) = start(&config, host.device.clone(), None).expect("it is mounted");
    drop(device);
    assert_eq!(mount.mount_point().as_deref(), Some(place.path()));
    let output = client(place.path(), "sh", "echo x > $M/f && cat $M/f").output().expect("sh");
    assert_eq!(output.stdout, b"x\n");
    assert_eq!(mount.registration().deregister(false), Ok(true));
    assert_eq!(gone.recv_timeout(LIMIT), Ok(Ended::KernelGone));
    mount.join();
    host.device.connection_gone();
}

#[test]
fn what_cannot_be_mounted_says_why_and_leaves_nothing() {
    if !can_mount() {
        return;
    }
    let fixture = Fixture::new();
    let place = tempfile::tempdir().expect("/tmp has room");
    let file = place.path().join("file");
    std::fs::write(&file, "").expect("/tmp has room");
    let missing = place.path().join("missing");
    let try_at = |path: &Path, mounter| {
        let mut config = MountConfig::new("memory:", path);
        config.mounter = mounter;
        match start(&config, fixture.host.device.clone(), None) {
            Ok(_) => panic!("mounted on {path:?}"),
            Err(error) => error,
        }
    };
    for mounter in [Mounter::Automatic, Mounter::Helper] {
        assert!(matches!(try_at(&missing, mounter), FrontError::MountPointMissing(_)));
        assert!(matches!(try_at(&file, mounter), FrontError::MountPointNotDirectory(_)));
        let in_use = try_at(fixture.path(), mounter);
        let FrontError::MountPointInUse { source_name, kind, .. } = &in_use else {
            panic!("{in_use}")
        };
        assert_eq!((source_name.as_str(), kind.as_str()), ("memory:", "fuse.minirdr"));
    }
    let none = try_at(Path::new("/dev/fd/999"), Mounter::Automatic);
    assert!(matches!(none, FrontError::NotADescriptor(_)), "{none}");
    // A descriptor, but of something else.
    let none = try_at(Path::new("/dev/fd/0"), Mounter::Automatic);
    assert!(matches!(none, FrontError::NotADescriptor(_)), "{none}");
    // The last step fails: the kernel refuses to attach to a directory that was removed meanwhile.
    assert!(mounts_at(place.path()).is_empty());
    assert_eq!(mounts_at(fixture.path()).len(), 1);
    fixture.unmount();
}

/// A mount that is dropped goes, although somebody is inside; what waits gets an error.
#[test]
fn a_dropped_mount_leaves_nothing_behind() {
    if !can_mount() {
        return;
    }
    let fixture = Fixture::new();
    let path = fixture.path().to_owned();
    let mut holder = fixture.python_beside(
        "import os\nf = open(os.environ['M'] + '/f', 'w')\nprint('open', flush=True)\ninput()\n\
         try:\n  os.stat(f.fileno())\n  f.write('x' * 100000)\n  f.flush()\n  print('written')\n\
         except OSError as e:\n  print(e.errno)\nos._exit(0)",
    );
    assert_eq!(holder.line(), "open");
    let Fixture { mount, host, place, .. } = fixture;
    drop(mount);
    assert!(mounts_at(&path).is_empty());
    holder.go_on();
    let end = holder.line();
    assert!(end == "107" || end == "103", "ENOTCONN or ECONNABORTED, not {end}");
    holder.end();
    host.device.connection_gone();
    drop(host);
    drop(place);
}

#[test]
fn threads_and_descriptors_are_back_where_they_were() {
    if !can_mount() {
        return;
    }
    // In a process of its own: the other tests have threads and descriptors too.
    if std::env::var_os("MINIRDR_COUNT").is_none() {
        let me = std::env::current_exe().expect("we run");
        let status = std::process::Command::new(me)
            .args(["--exact", "life::threads_and_descriptors_are_back_where_they_were"])
            .env("MINIRDR_COUNT", "1")
            .status()
            .expect("we can be run again");
        assert!(status.success());
        return;
    }
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("/proc").count();
    let host = memory_host();
    let place = tempfile::tempdir().expect("/tmp has room");
    let round = || {
        let config = MountConfig::new("memory:", place.path());
        let (mount, gone) = start(&config, host.device.clone(), None).expect("it mounts");
        let script = "ls -la $M; echo x > $M/f; cat $M/f";
        assert!(client(place.path(), "sh", script).status().expect("sh").success());
        assert_eq!(mount.registration().deregister(false), Ok(true));
        assert_eq!(gone.recv_timeout(LIMIT), Ok(Ended::KernelGone));
        mount.join();
    };
    round();
    wait_until("handles are released", || host.device.status().open_handles == 0);
    let before = (minirdr::base::threads::live(), descriptors());
    for _ in 0..5 {
        round();
    }
    assert_eq!((minirdr::base::threads::live(), descriptors()), before);
    assert_eq!(minirdr::base::threads::abandoned(), 0);
    host.device.connection_gone();
}
