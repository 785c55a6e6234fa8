//! `doctor`: what this machine needs, what it lacks, what was left behind, and what to do about it.

use crate::app::saved::MountRecord;
use crate::cli::args::JsonArgs;
use crate::cli::corpse::{self, Pulse};
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::locate;
use crate::cli::mountinfo::Mount;
use crate::cli::print;
use crate::cli::quote;
use crate::cli::table::{Layout, printable};
use crate::cli::view;
use crate::mgmt::client::{Client, ClientError};
use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use serde_json::json;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    /// As it should be.
    Ok,
    /// Mounts work without it, or were left behind by others.
    Warning,
    /// Nothing can be mounted.
    Missing,
}

impl Health {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Finding {
    check: &'static str,
    health: Health,
    detail: String,
    /// A command or a sentence that mends it.
    cure: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, health: Health::Ok, detail: detail.into(), cure: None }
    }

    fn warning(check: &'static str, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, health: Health::Warning, detail: detail.into(), cure: Some(cure.into()) }
    }

    fn missing(check: &'static str, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, health: Health::Missing, detail: detail.into(), cure: Some(cure.into()) }
    }
}

const COLUMNS: &[&str] = &["CHECK", "STATE", "DETAIL"];
const INSTALL: &str = "apt-get install fuse3";
const OPEN_DEVICE: &str = "as root: chmod 666 /dev/fuse, which udev does where it runs";

/// `minirdr doctor`.
///
/// # Errors
/// stdout cannot be written.
pub fn doctor(args: JsonArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let findings = examine(environment);
    let exit = verdict(&findings);
    if args.json {
        print::answer(&json(&findings).to_string())?;
    } else {
        print::answer(&lines(&findings)?.join("\n"))?;
    }
    Ok(exit)
}

/// The JSON of `doctor`.
pub(in crate::cli) fn json(findings: &[Finding]) -> serde_json::Value {
    let exit = verdict(findings);
    view::envelope(
        "doctor",
        &json!({ "ok": exit == Exit::DONE, "exit_code": exit.0, "checks": findings }),
    )
}

fn verdict(findings: &[Finding]) -> Exit {
    match findings.iter().any(|finding| finding.health == Health::Missing) {
        true => Exit::FAILED,
        false => Exit::DONE,
    }
}

fn lines(findings: &[Finding]) -> Result<Vec<String>, Trouble> {
    let with = |health| findings.iter().filter(move |finding| finding.health == health).count();
    let summary = match (with(Health::Missing), with(Health::Warning)) {
        (0, 0) => "this machine has all that mounts need".to_owned(),
        (0, 1) => "this machine has all that mounts need; 1 warning".to_owned(),
        (0, warnings) => format!("this machine has all that mounts need; {warnings} warnings"),
        (missing, _) => format!("nothing can be mounted here yet: {missing} missing"),
    };
    let row = |finding: &Finding| {
        vec![finding.check.to_owned(), finding.health.word().to_owned(), finding.detail.clone()]
    };
    let layout = Layout::new(COLUMNS, COLUMNS.len(), &[], true)?;
    let mut lines = vec![summary];
    lines.extend(layout.lines(&findings.iter().map(row).collect::<Vec<_>>()));
    let cures = findings.iter().filter_map(|finding| Some((finding.check, finding.cure.as_ref()?)));
    let mut cures: Vec<String> = cures.map(|(check, cure)| format!("  {check}: {cure}")).collect();
    if !cures.is_empty() {
        cures.insert(0, "what to do:".to_owned());
    }
    lines.extend(cures);
    Ok(lines)
}

/// Looks at everything.
pub(in crate::cli) fn examine(environment: &Environment) -> Vec<Finding> {
    let is_root = environment.uid == 0;
    let mut findings = vec![device(Path::new("/dev/fuse"), is_root)];
    findings.push(helper(environment.path.as_deref(), is_root));
    findings.push(match std::fs::read_to_string("/etc/fuse.conf") {
        Ok(text) => configuration(Some(&text), is_root),
        Err(_) => configuration(None, is_root),
    });
    findings.push(kernel(&rustix::system::uname().release().to_string_lossy()));
    findings.extend(request_timeout(
        std::fs::read_to_string("/proc/sys/fs/fuse/max_request_timeout").ok().as_deref(),
    ));
    findings.push(runtime_directory(&environment.runtime_dir));
    findings.extend(left_behind(environment));
    findings
}

fn device(path: &Path, is_root: bool) -> Finding {
    const CHECK: &str = "/dev/fuse";
    let load = "modprobe fuse; in a container: run it with --device /dev/fuse";
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return Finding::missing(CHECK, super::exit::plain(&error), load),
    };
    if !metadata.file_type().is_char_device() {
        return Finding::missing(CHECK, "not a character device", load);
    }
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from) {
        Ok(_) if is_root && metadata.mode() & 0o006 != 0o006 => {
            Finding::warning(CHECK, "present, open to root alone; only root can mount", OPEN_DEVICE)
        }
        Ok(_) => Finding::ok(CHECK, "present, opens for reading and writing"),
        // A normal user gets a descriptor from fusermount3, whatever the mode of the device.
        // fusermount3 opens it as the user who called it: being setuid root does not help.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::missing(
            CHECK,
            "not open to this user, nor to fusermount3 for him",
            OPEN_DEVICE,
        ),
        Err(error) => Finding::missing(CHECK, super::exit::plain(&error), load),
    }
}

/// The program that mounts for a normal user.
fn helper(path: Option<&OsStr>, is_root: bool) -> Finding {
    const CHECK: &str = "fusermount3";
    let absent = |detail: String, cure: &str| match is_root {
        true => Finding::warning(CHECK, detail + "; only root can mount", cure),
        false => Finding::missing(CHECK, detail, cure),
    };
    let directories = path.unwrap_or(OsStr::new("/usr/bin:/bin")).as_bytes();
    let candidates = directories.split(|&byte| byte == b':');
    let found = candidates
        .map(|directory| PathBuf::from(OsStr::from_bytes(directory)).join("fusermount3"))
        .find_map(|file| Some((std::fs::metadata(&file).ok()?, file)));
    let Some((metadata, file)) = found else {
        return absent("not found".to_owned(), INSTALL);
    };
    let shown = file.display();
    if metadata.uid() == 0 && metadata.mode() & 0o4000 != 0 {
        return Finding::ok(CHECK, format!("{shown}, setuid root"));
    }
    let path = quote::quoted(file.as_os_str().as_bytes()).unwrap_or_default();
    absent(format!("{shown} is not setuid root"), &format!("chown root {path}; chmod u+s {path}"))
}

/// `user_allow_other` in /etc/fuse.conf: only `-o allow_other` of a normal user needs it.
fn configuration(text: Option<&str>, is_root: bool) -> Finding {
    const CHECK: &str = "/etc/fuse.conf";
    let allows =
        text.is_some_and(|text| text.lines().any(|line| line.trim() == "user_allow_other"));
    match (allows, is_root) {
        (true, _) => Finding::ok(CHECK, "user_allow_other: every user may use -o allow_other"),
        (false, true) => {
            Finding::ok(CHECK, "no user_allow_other: only root may use -o allow_other")
        }
        (false, false) => Finding::warning(
            CHECK,
            "no user_allow_other: -o allow_other will be refused",
            "as root: echo user_allow_other >> /etc/fuse.conf",
        ),
    }
}

/// The oldest kernel everything works on: openat2 (5.6) is what `local:` needs.
const KERNEL_NEEDED: (u32, u32) = (5, 6);

fn kernel(release: &str) -> Finding {
    const CHECK: &str = "kernel";
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Finding::warning(
            CHECK,
            format!("{release}: unknown version"),
            "Linux 5.6 or later",
        );
    };
    let features = [((5, 6), "openat2"), ((6, 9), "passthrough"), ((6, 15), "request timeouts")];
    let has: Vec<&str> = features
        .iter()
        .filter(|(since, _)| (major, minor) >= *since)
        .map(|&(_, feature)| feature)
        .collect();
    match (major, minor) >= KERNEL_NEEDED {
        true => Finding::ok(CHECK, format!("{release}: {}", has.join(", "))),
        false => Finding::missing(CHECK, release.to_owned(), "Linux 5.6 or later"),
    }
}

/// The kernel aborts the whole connection when one request is older than this (reference users.md
/// 6).
fn request_timeout(text: Option<&str>) -> Option<Finding> {
    const CHECK: &str = "request timeout";
    let seconds: u64 = text?.trim().parse().ok()?;
    let ours = crate::base::limits::REQUEST_DEADLINE.as_secs();
    match seconds {
        0 => None,
        _ if seconds > ours => {
            Some(Finding::ok(CHECK, format!("the kernel ends a connection after {seconds} s")))
        }
        _ => Some(Finding::warning(
            CHECK,
            format!("the kernel ends the whole mount when one request takes {seconds} s"),
            format!(
                "mount with -o request_deadline={}, or raise fs.fuse.max_request_timeout \
                 over {ours}",
                (seconds / 2).max(1)
            ),
        )),
    }
}

fn runtime_directory(path: &Path) -> Finding {
    const CHECK: &str = "control sockets";
    let shown = path.display();
    let writable = |path: &Path| {
        rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
    };
    match writable(path) {
        Ok(()) => Finding::ok(CHECK, format!("in {shown}")),
        // `mount` makes it: what counts is whether it can.
        Err(rustix::io::Errno::NOENT) => {
            let above = path.ancestors().skip(1).find(|above| above.exists());
            match above.map(writable) {
                Some(Ok(())) => Finding::ok(CHECK, format!("in {shown}, not made yet")),
                _ => Finding::missing(CHECK, format!("{shown} cannot be made"), SET_RUNTIME),
            }
        }
        Err(error) => Finding::missing(CHECK, format!("{shown}: {error}"), SET_RUNTIME),
    }
}

const SET_RUNTIME: &str = "set XDG_RUNTIME_DIR to a directory of your own";

/// Records of mounts whose daemon is gone and did not end in order: killed, or the machine was.
fn unfinished(state_dir: &Path, is_living: &dyn Fn(&MountRecord) -> bool) -> Vec<Finding> {
    const CHECK: &str = "unfinished mount";
    let Ok(entries) = std::fs::read_dir(state_dir) else { return Vec::new() };
    let mut places: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    places.sort();
    let finding = |place: PathBuf| match MountRecord::read(&place) {
        Ok(record) => {
            let record = record.filter(|record| !is_living(record))?;
            let text = |text: &str| printable(text.as_bytes());
            let (name, source) = (text(&record.name), text(&record.source));
            let how = match record.running {
                true => "ran when its daemon ended",
                false => "was stopped in order, and then its daemon ended",
            };
            let place = text(&record.mount_point);
            let detail = format!("{name}: {source} on {place} {how}");
            let words = record.command();
            // What was no UTF-8 is not known any more.
            let whole = !words.iter().any(|word| word.contains(char::REPLACEMENT_CHARACTER));
            let words = words.iter().map(|word| word.as_bytes());
            let again = quote::command(words).filter(|_| whole).map(|words| format!(": {words}"));
            let again = again.unwrap_or_default();
            let again = format!("mount it again, or remove its record{again}");
            Some(Finding::warning(CHECK, detail, again))
        }
        Err(error) => Some(Finding::warning(CHECK, error.line(), "remove what is not minirdr's")),
    };
    places.into_iter().filter_map(finding).collect()
}

/// Sockets without a daemon and mounts without one.
fn left_behind(environment: &Environment) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut answering, mut silent) = (Vec::new(), Vec::new());
    for socket in locate::all_sockets(environment, false) {
        match Client::connect(&socket.path).and_then(|mut client| client.status()) {
            Ok(status) => answering.push((status.device, status.mount_point)),
            Err(ClientError::Unreachable { source, .. })
                if source.kind() == io::ErrorKind::ConnectionRefused =>
            {
                let path = socket.path.as_os_str().as_bytes();
                let remove = quote::command([&b"rm"[..], path]).unwrap_or_default();
                findings.push(Finding::warning(
                    "stale socket",
                    format!("{}: nobody listens", printable(path)),
                    format!("{remove}; the next mount of that name does it too"),
                ));
            }
            Err(error) => {
                findings.push(Finding::warning(
                    "silent daemon",
                    printable(locate::explain(&socket.name, &error).message.as_bytes()),
                    "look at its log; if it hangs for good, kill it and run doctor again",
                ));
                silent.push(socket.name);
            }
        }
    }
    let mounts = locate::read_mounts().unwrap_or_default();
    // A normal user cannot ask other users' daemons, and must not call their mounts dead.
    let is_known = |mount: &Mount| environment.uid == 0 || mount.owner == Some(environment.uid);
    let is_lost = |mount: &&Mount| {
        mount.is_ours()
            && is_known(mount)
            && !answering.iter().any(|(device, point)| {
                *device == mount.device || *point == mount.mount_point.to_string_lossy()
            })
    };
    let lost = mounts.iter().filter(is_lost);
    let felt = |mount| match corpse::is_dying(mount) {
        true => (mount, None),
        false => (mount, Some(corpse::pulse(mount))),
    };
    let lost: Vec<(&Mount, Option<Pulse>)> = lost.map(felt).collect();
    findings.extend(unfinished(&environment.state_dir, &|record| {
        let served = |(mount, pulse): &(&Mount, Option<Pulse>)| {
            matches!(pulse, Some(Pulse::Alive | Pulse::Silent))
                && mount.mount_point.to_string_lossy() == record.mount_point
        };
        answering.iter().any(|(_, mount_point)| *mount_point == record.mount_point)
            || silent.contains(&record.name)
            || lost.iter().any(served)
            || locate::is_held(&record.name, environment)
    }));
    findings.extend(lost.into_iter().map(|(mount, pulse)| match pulse {
        None => dying_daemon(mount),
        Some(Pulse::Dead) => dead_mount(mount, environment.uid),
        Some(Pulse::Alive) => unknown_daemon(mount, "its control socket was not found"),
        Some(Pulse::Silent) => unknown_daemon(mount, "no control socket was found, and it hangs"),
    }));
    findings
}

/// A mount served from elsewhere: another runtime directory, another namespace.
fn unknown_daemon(mount: &Mount, what: &str) -> Finding {
    let shown = printable(mount.mount_point.as_os_str().as_bytes());
    let cure = "run doctor with the XDG_RUNTIME_DIR it was mounted with";
    Finding::warning("unknown daemon", format!("{shown}: {what}"), cure)
}

/// A mount whose daemon was killed while it waited for the kernel, which waits for it.
fn dying_daemon(mount: &Mount) -> Finding {
    let shown = printable(mount.mount_point.as_os_str().as_bytes());
    let connection = mount.device.rsplit(':').next().unwrap_or_default();
    Finding::warning(
        "dying daemon",
        format!("{shown}: its daemon was killed and cannot end, and who uses the mount hangs"),
        format!(
            "mount there again, which frees it; or \
             echo 1 > /sys/fs/fuse/connections/{connection}/abort"
        ),
    )
}

fn dead_mount(mount: &Mount, uid: u32) -> Finding {
    let shown = printable(mount.mount_point.as_os_str().as_bytes());
    let words = if uid == 0 { ["umount", "-l"] } else { ["fusermount3", "-uz"] };
    let place = mount.mount_point.as_os_str().as_bytes();
    let words = words.into_iter().map(str::as_bytes).chain([place]);
    Finding {
        check: "dead mount",
        health: Health::Warning,
        detail: format!("{shown}: its daemon has died"),
        cure: quote::command(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_makes_it_fail() {
        let ok = Finding::ok("a", "fine");
        let warning = Finding::warning("b", "odd", "mend it");
        let missing = Finding::missing("c", "gone", "install it");
        assert_eq!(verdict(std::slice::from_ref(&ok)), Exit::DONE);
        assert_eq!(verdict(&[ok.clone(), warning.clone()]), Exit::DONE);
        assert_eq!(verdict(&[ok.clone(), missing.clone()]), Exit::FAILED);
        assert_eq!(
            lines(&[ok, warning, missing]).expect("fixed columns"),
            [
                "nothing can be mounted here yet: 1 missing",
                "CHECK  STATE    DETAIL",
                "a      ok       fine",
                "b      warning  odd",
                "c      missing  gone",
                "what to do:",
                "  b: mend it",
                "  c: install it",
            ]
        );
    }

    #[test]
    fn a_missing_device_says_how_to_get_one() {
        let finding = device(Path::new("/nonexistent/fuse"), false);
        assert_eq!(finding.health, Health::Missing);
        assert!(finding.cure.is_some_and(|cure| cure.contains("modprobe fuse")));
        let plain = device(Path::new("/etc/passwd"), false);
        assert_eq!(plain.health, Health::Missing, "a plain file");
        assert_eq!(
            device(Path::new("/dev/null"), false).health,
            Health::Ok,
            "opens, for everybody"
        );
    }

    #[test]
    fn a_normal_user_needs_fusermount3_and_root_does_not() {
        let nowhere = Some(OsStr::new("/nonexistent"));
        let finding = helper(nowhere, false);
        assert_eq!((finding.health, finding.cure.as_deref()), (Health::Missing, Some(INSTALL)));
        assert_eq!(helper(nowhere, true).health, Health::Warning);
        let directory = tempfile::tempdir().expect("room in /tmp");
        std::fs::write(directory.path().join("fusermount3"), "").expect("room in /tmp");
        let finding = helper(Some(directory.path().as_os_str()), false);
        assert_eq!(finding.health, Health::Missing);
        assert!(finding.detail.contains("not setuid root"), "{finding:?}");
    }

    #[test]
    fn allow_other_of_users_is_a_line_of_its_own() {
        assert_eq!(configuration(Some("# user_allow_other\n"), false).health, Health::Warning);
        assert_eq!(configuration(None, false).health, Health::Warning);
        assert_eq!(configuration(None, true).health, Health::Ok);
        assert_eq!(
            configuration(Some("mount_max=5\nuser_allow_other\n"), false).health,
            Health::Ok
        );
    }

    #[test]
    fn kernels_are_told_apart() {
        assert_eq!(kernel("4.19.0-27-amd64").health, Health::Missing);
        assert_eq!(kernel("5.6").detail, "5.6: openat2");
        assert_eq!(kernel("6.18.44").detail, "6.18.44: openat2, passthrough, request timeouts");
        assert_eq!(kernel("unknown").health, Health::Warning);
    }

    #[test]
    fn a_kernel_timeout_under_ours_is_a_warning() {
        assert_eq!(request_timeout(None), None);
        assert_eq!(request_timeout(Some("0\n")), None);
        assert_eq!(request_timeout(Some("600\n")).map(|f| f.health), Some(Health::Ok));
        let short = request_timeout(Some("30\n")).expect("set");
        assert_eq!(short.health, Health::Warning);
        assert!(short.cure.is_some_and(|cure| cure.contains("request_deadline=15")));
    }

    #[test]
    fn the_sockets_directory_is_there_or_can_be_made() {
        let directory = tempfile::tempdir().expect("room in /tmp");
        assert_eq!(runtime_directory(directory.path()).health, Health::Ok);
        let deeper = directory.path().join("a/b");
        assert!(runtime_directory(&deeper).detail.contains("not made yet"));
        assert_eq!(runtime_directory(Path::new("/etc/passwd/minirdr")).health, Health::Missing);
    }

    #[test]
    fn a_dead_mount_comes_with_the_command_that_clears_it() {
        let mount = Mount {
            id: 41,
            device: "0:38".to_owned(),
            root: PathBuf::from("/"),
            mount_point: PathBuf::from("/mnt/it's"),
            kind: "fuse.minirdr".to_owned(),
            source: "memory:".to_owned(),
            owner: Some(0),
        };
        let cure = |mount: &Mount| dead_mount(mount, 0).cure.expect("a command");
        assert_eq!(cure(&mount), r"umount -l '/mnt/it'\''s'");
        let odd = OsStr::from_bytes(b"/mnt/a\\b\xff");
        let odd = Mount { mount_point: PathBuf::from(odd), ..mount.clone() };
        assert_eq!(cure(&odd), r"umount -l $'/mnt/a\\b\377'");
        assert!(
            dead_mount(&mount, 7).cure.is_some_and(|cure| cure.starts_with("fusermount3 -uz "))
        );
    }

    /// S-93: a daemon that holds its name, or whose socket is there and gives no answer, has not
    /// ended.
    #[test]
    fn s93_a_daemon_that_lives_is_not_unfinished() {
        let place = tempfile::tempdir().expect("a directory");
        let (runtime_dir, state_dir) = (place.path().join("run"), place.path().join("state"));
        std::fs::create_dir(&runtime_dir).expect("made");
        for name in ["starting", "silent", "refuses", "gone"] {
            let directory = state_dir.join(name);
            std::fs::create_dir_all(&directory).expect("made");
            let (name, mount_point) = (name.to_owned(), format!("/nonexistent/{name}"));
            let record = MountRecord { name, mount_point, running: true, ..MountRecord::new() };
            let text = serde_json::to_vec(&record).expect("JSON");
            std::fs::write(directory.join("mount.json"), text).expect("written");
        }
        let bind = |name: &str| {
            let socket = crate::mgmt::client::socket_path(&runtime_dir, name);
            std::os::unix::net::UnixListener::bind(socket).expect("bound")
        };
        drop(bind("refuses"));
        let silent = bind("silent");
        // It closes what comes, without a word.
        let closes = move || drop(silent.accept());
        let closes = crate::base::threads::spawn("t-silent", closes).expect("room for a thread");
        let lock = std::fs::File::create(runtime_dir.join("starting.lock")).expect("made");
        let held = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        rustix::fs::flock(&lock, held).expect("free");
        // Nobody's mounts are this user's.
        let environment = Environment {
            uid: 4_242,
            runtime_dir,
            state_dir,
            log: None,
            journal: false,
            path: None,
            temporary_dir: PathBuf::from("/tmp"),
            executable: PathBuf::from("/usr/bin/minirdr"),
            manager: None,
        };
        let findings = left_behind(&environment);
        closes.join();
        let of = |check| {
            let found = findings.iter().filter(move |finding| finding.check == check);
            found.map(|finding| finding.detail.split(':').next().unwrap_or_default())
        };
        assert_eq!(of("unfinished mount").collect::<Vec<_>>(), ["gone", "refuses"]);
        assert!(of("silent daemon").any(|name| name == "silent"), "{findings:?}");
    }

    /// S-93: what a crash took away is told with the command that brings it back; what is served is
    /// not; what is no record is said.
    #[test]
    fn s93_an_unfinished_mount_is_found() {
        let state = tempfile::tempdir().expect("a directory");
        let record = |name: &str, running| {
            let directory = state.path().join(name);
            std::fs::create_dir(&directory).expect("made");
            let record = MountRecord {
                name: name.to_owned(),
                source: "local:/srv/my data".to_owned(),
                mount_point: format!("/mnt/{name}"),
                options: vec!["ro".to_owned(), "nosuid".to_owned()],
                running,
                ..MountRecord::new()
            };
            let text = serde_json::to_vec(&record).expect("JSON");
            std::fs::write(directory.join("mount.json"), text).expect("written");
        };
        record("crashed", true);
        record("served", true);
        record("stopped", false);
        std::fs::create_dir_all(state.path().join("kept/unsent")).expect("made");
        let living = |record: &MountRecord| record.name == "served";
        let findings = unfinished(state.path(), &living);
        let details: Vec<&str> = findings.iter().map(|finding| finding.detail.as_str()).collect();
        assert_eq!(
            details,
            [
                "crashed: local:/srv/my data on /mnt/crashed ran when its daemon ended",
                "stopped: local:/srv/my data on /mnt/stopped was stopped in order, and then its \
                 daemon ended",
            ]
        );
        let cure = findings[0].cure.as_deref().expect("a cure");
        let again = "minirdr mount 'local:/srv/my data' /mnt/crashed --name crashed -o ro";
        assert!(cure.ends_with(again), "{cure}");
        let odd = MountRecord {
            name: "crashed".to_owned(),
            source: r"local:/it's a\b".to_owned(),
            mount_point: "/mnt/a\nb".to_owned(),
            ..MountRecord::new()
        };
        let lossy = MountRecord { source: "local:/\u{fffd}".to_owned(), ..odd.clone() };
        let cure = |record: &MountRecord| {
            let text = serde_json::to_vec(record).expect("JSON");
            std::fs::write(state.path().join("crashed/mount.json"), text).expect("written");
            unfinished(state.path(), &living)[0].cure.clone().expect("a cure")
        };
        let again = r"minirdr mount 'local:/it'\''s a\b' $'/mnt/a\012b' --name crashed";
        assert!(cure(&odd).ends_with(again), "{}", cure(&odd));
        assert_eq!(cure(&lossy), "mount it again, or remove its record", "no command would be it");
        std::fs::write(state.path().join("crashed/mount.json"), "{").expect("written");
        let spoilt = unfinished(state.path(), &living);
        assert!(spoilt[0].detail.contains("crashed/mount.json"), "{:?}", spoilt[0]);
    }
}
