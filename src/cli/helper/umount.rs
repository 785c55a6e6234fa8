//! `umount.minirdr`: what umount(8) and systemd run to unmount a mount of ours.
//!
//! ```text
//!  somebody is inside ──► refused, nothing changed, holders on stderr (umount)
//!                    ├──► detached; the daemon goes on till the last handle goes (umount -l)
//!                    └──► cancelled within 5 s, stopped (umount -f)
//!  nobody is          ──► stopped in the orderly way, and unmounted when all is saved
//!  mounted elsewhere  ──► this place alone is unmounted: the daemon goes on
//!  no daemon answers  ──► the kernel unmounts
//! ```

use crate::app::MountOptions;
use crate::app::utab;
use crate::base::clock::{Clock, SystemClock};
use crate::base::limits::CONTROL_REPLY_TIMEOUT;
use crate::base::stop::{CallResult, OnDeadline, Report, State, StopMode, StopOptions};
use crate::base::units::count;
use crate::cli::args::{FORCED_DEADLINE, TableArgs};
use crate::cli::commands::answer::Answer;
use crate::cli::commands::stop::for_helper;
use crate::cli::corpse::{self, Pulse};
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::helper::unmount::{Hand, take_away};
use crate::cli::helper::{MOUNT_FAILED, called, check_type, enter_namespace, parse};
use crate::cli::holders;
use crate::cli::locate::{self, Target, explain};
use crate::cli::mountinfo::{self, Mount};
use crate::cli::print;
use crate::cli::table::printable;
use crate::cli::vigil::end_flag;
use crate::mgmt::client::{Client, ClientError};
use crate::mgmt::proto::{CheckReply, Holder, MountStatus};
use clap::Parser;
use std::ffi::{OsStr, OsString};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A file that was closed just now is released at the daemon within this time. Whoever is inside
/// after that is inside.
const RELEASE_WAIT: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// While a grace runs.
const GRACE_LOOK: Duration = Duration::from_millis(250);

/// Stop what is mounted on a directory in the orderly way and unmount it, as umount(8) asks for it
#[derive(Clone, Debug, Parser)]
#[command(name = "umount.minirdr", version, max_term_width = 100)]
pub struct UmountHelperArgs {
    /// The mount point
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Cancel what waits, give up after 5 s, and unmount (mode cancel)
    #[arg(short)]
    pub force: bool,
    /// Detach now although somebody is inside: open files work on, and the daemon stays until the
    /// last one is closed
    #[arg(short)]
    pub lazy: bool,
    /// Accepted: what umount(8) keeps in its own table, it removes itself
    #[arg(short)]
    pub no_table: bool,
    /// Accepted: a busy mount is left as it is, not made read-only
    #[arg(short)]
    pub read_only: bool,
    /// Say what was done
    #[arg(short)]
    pub verbose: bool,
    /// Unmount in this mount namespace: a process's number, or a file such as /proc/PID/ns/mnt
    #[arg(short = 'N', value_name = "NAMESPACE")]
    pub namespace: Option<OsString>,
    /// The type: minirdr or fuse.minirdr
    #[arg(short = 't', value_name = "TYPE")]
    pub kind: Option<String>,
}

/// `umount.minirdr`. Returns when the mount is gone and all of it is saved.
///
/// # Errors
/// One line; 32 is the exit code of whatever is mounted still.
pub fn umount(words: &[OsString], mut environment: Environment) -> Result<Exit, Trouble> {
    let Some(args) = parse::<UmountHelperArgs>(words)? else { return Ok(Exit::DONE) };
    check_type(args.kind.as_deref())?;
    enter_namespace(args.namespace.as_deref(), &mut environment)?;
    let mounts = locate::read_mounts()?;
    let place = locate::resolve(&args.directory, &mounts)?;
    let mount = ours(&mounts, &place)?.clone();
    let shown = printable(place.as_os_str().as_bytes());
    let covered = covering(&mounts, &place);
    let request = Request { name: called(words), args, mount, place, shown, covered };
    let directories = locate::socket_directories(&environment);
    // Who forces, or wants it out of sight, does not wait long for a daemon that hangs.
    let hurried = request.args.force || request.args.lazy;
    let patience = if hurried { FORCED_DEADLINE } else { CONTROL_REPLY_TIMEOUT };
    let places = (&*request.place, &*mounts, &*directories);
    let done = match locate::find_within(places, patience) {
        Some(target) => request.served(&target),
        None => request.unserved(),
    };
    still_there(done, request.is_there()?)
}

/// What counts is whether it is there, however it was tried.
fn still_there(done: Result<Exit, Trouble>, is_there: bool) -> Result<Exit, Trouble> {
    match (done, is_there) {
        (done, false) => done,
        (Ok(_), true) => Ok(MOUNT_FAILED),
        (Err(trouble), true) if trouble.exit != Exit::NOT_PERMITTED => {
            Err(Trouble { exit: MOUNT_FAILED, ..trouble })
        }
        (Err(trouble), true) => Err(trouble),
    }
}

/// The mount at a place, if it is one of ours.
fn ours<'a>(mounts: &'a [Mount], place: &Path) -> Result<&'a Mount, Trouble> {
    let shown = printable(place.as_os_str().as_bytes());
    match mountinfo::at(mounts, place) {
        Some(mount) if mount.is_ours() => Ok(mount),
        Some(mount) => {
            let kind = &mount.kind;
            Err(Trouble::not_running(format!("{shown} is a mount of type {kind}, not of minirdr")))
        }
        None => Err(Trouble::not_running(format!("{shown}: not mounted"))),
    }
}

/// What is mounted inside of a place, later than what is mounted there.
fn covering(mounts: &[Mount], place: &Path) -> Option<String> {
    let own = mounts.iter().rposition(|mount| mount.mount_point == place)?;
    let inner = mounts[own + 1..].iter().find(|mount| mount.mount_point.starts_with(place))?;
    Some(printable(inner.mount_point.as_os_str().as_bytes()))
}

/// One unmount that was asked for.
struct Request {
    /// What this program was called as.
    name: String,
    args: UmountHelperArgs,
    mount: Mount,
    place: PathBuf,
    /// The place, for people.
    shown: String,
    /// What is mounted inside, if anything is.
    covered: Option<String>,
}

impl Request {
    /// A daemon answers for it.
    fn served(&self, target: &Target) -> Result<Exit, Trouble> {
        let failed = |error: ClientError| explain(&target.name, &error);
        let mut client = target.connect()?;
        let status = client.status().map_err(failed)?;
        if self.is_copy(&status) {
            return self.here_alone(&mut client, &target.name);
        }
        if self.args.force {
            let options = StopOptions {
                mode: StopMode::Cancel,
                deadline_s: Some(FORCED_DEADLINE.as_secs_f64()),
                on_deadline: OnDeadline::Cancel,
                unmount: true,
                lazy: self.args.lazy,
                ..reasoned()
            };
            return Ok(self.tell(&for_helper(target, options)?));
        }
        if let Some(inner) = self.covered.as_ref().filter(|_| !self.args.lazy) {
            self.note(&format!("target is busy: {inner} is mounted inside"));
            return Ok(MOUNT_FAILED);
        }
        let check = settled(&mut client).map_err(failed)?;
        if check.holders.iter().any(|holder| self.is_elsewhere(holder)) {
            return self.here_alone(&mut client, &target.name);
        }
        let asked = configured(&status);
        let check = match (check.holders_total, self.args.lazy, asked.stop_grace) {
            (1.., false, grace) if !grace.is_zero() => {
                self.wait_out(&mut client, grace).map_err(failed)?
            }
            _ => check,
        };
        match (inside(&check.holders).is_empty(), self.args.lazy) {
            (true, _) => {
                let ended = self.orderly(target, &status, &asked);
                let resumed = self.unpaused(target, &status);
                let exit = ended?;
                resumed.map(|()| exit)
            }
            (false, true) => self.detach(&check),
            (false, false) => Ok(self.busy(&check.holders, check.holders_total)),
        }
    }

    /// What the grace paused, and no stop has ended, goes on.
    fn unpaused(&self, target: &Target, before: &MountStatus) -> Result<(), Trouble> {
        if before.state == State::Paused || !self.is_there()? {
            return Ok(());
        }
        let mut client = target.connect()?;
        let paused = client.status().map(|status| status.state == State::Paused);
        let resumed =
            paused.and_then(|paused| if paused { client.resume().map(drop) } else { Ok(()) });
        resumed.map_err(|error| explain(&target.name, &error))
    }

    /// Is what was to be unmounted mounted still?
    fn is_there(&self) -> Result<bool, Trouble> {
        Ok(mountinfo::at(&locate::read_mounts()?, &self.place) == Some(&self.mount))
    }

    /// Is what was named another mount than the daemon's own, which is there, too?
    fn is_copy(&self, status: &MountStatus) -> bool {
        // One that was mounted for the daemon: it knows no place.
        let has_place = !status.mount_point.starts_with("/dev/fd/");
        status.mounted && has_place && status.mount_point != self.place.to_string_lossy()
    }

    /// Is this another mount of the same file system?
    fn is_elsewhere(&self, holder: &Holder) -> bool {
        let here = holder.pid.is_none() && OsStr::new(&holder.path) == self.place.as_os_str();
        holder.kind == "mount" && !here
    }

    /// Nobody is inside: stop it, and unmount when all is saved.
    fn orderly(
        &self,
        target: &Target,
        status: &MountStatus,
        asked: &MountOptions,
    ) -> Result<Exit, Trouble> {
        let options = StopOptions {
            deadline_s: asked.stop_deadline.map(|deadline| deadline.as_secs_f64()),
            on_deadline: asked.stop_on_deadline,
            refuse_if_busy: true,
            // The daemon's own mount; the last bind mount of one that is gone is unmounted below.
            unmount: status.mounted,
            lazy: self.args.lazy,
            ..reasoned()
        };
        let answer = for_helper(target, options)?;
        let stays = |report: &Report| report.result == CallResult::Success && !report.unmounted;
        let came_between = status.mounted && answer.report.as_ref().is_some_and(stays);
        if came_between
            && self.is_there()?
            && matches!(status.state, State::Started | State::Paused)
        {
            // Who came between the question and the stop, or cannot be seen, is not to be cut off.
            let mut client = target.connect()?;
            let started = client.start_streaming(&mut |_| ControlFlow::Continue(()));
            started.map_err(|error| explain(&target.name, &error))?;
            if status.state == State::Paused {
                client.pause().map_err(|error| explain(&target.name, &error))?;
            }
            return Ok(self.busy(&answer.holders, answer.holders_total));
        }
        let exit = self.tell(&answer);
        if !status.mounted && exit == Exit::DONE {
            take_away(&self.mount, Hand::Plain)?;
            target.await_departure();
        }
        Ok(exit)
    }

    /// Open handles keep working for a while, and nobody new comes in. What is still there then
    /// works on.
    fn wait_out(&self, client: &mut Client, grace: Duration) -> Result<CheckReply, ClientError> {
        let paused_before = client.status()?.state == State::Paused;
        // Whoever ends this process is to leave the mount as it was.
        let ended = end_flag().ok();
        if !paused_before {
            client.pause()?;
        }
        let waited = self.await_holders(client, grace, ended.as_deref());
        let stays = !waited.as_ref().is_ok_and(|check| check.holders_total == 0);
        if stays && !paused_before {
            client.resume()?;
        }
        waited
    }

    fn await_holders(
        &self,
        client: &mut Client,
        grace: Duration,
        ended: Option<&AtomicBool>,
    ) -> Result<CheckReply, ClientError> {
        let stop = || ended.is_some_and(|flag| flag.load(Ordering::SeqCst));
        let clock = SystemClock::new();
        let until = clock.now().after(grace);
        let mut check = client.check()?;
        print::note(&format!(
            "{}: {}: {} given {} s to end",
            self.name,
            self.shown,
            count(check.holders_total, "holder"),
            grace.as_secs()
        ));
        while check.holders_total > 0 && clock.now() < until && !stop() {
            std::thread::park_timeout(GRACE_LOOK);
            check = client.check()?;
        }
        Ok(check)
    }

    /// Mounted elsewhere too: this place is unmounted, and nothing stopped.
    /// -f would end the connection of all, so it is as if it were not there.
    fn here_alone(&self, client: &mut Client, name: &str) -> Result<Exit, Trouble> {
        let hand = if self.args.lazy { Hand::Lazy } else { Hand::Plain };
        match take_away(&self.mount, hand) {
            Ok(()) => {
                // A directory above that was renamed makes one mount look like two.
                let mounted = client.status().is_ok_and(|status| status.mounted);
                let copied =
                    |check: CheckReply| check.holders.iter().any(|one| one.kind == "mount");
                match mounted || client.check().is_ok_and(copied) {
                    true => self.note("unmounted here; mounted elsewhere still, and served there"),
                    false => self.note("unmounted; its daemon finishes what it owes, and ends"),
                }
                Ok(Exit::DONE)
            }
            Err(trouble) if trouble.exit == Exit::BUSY => {
                let check = client.check().map_err(|error| explain(name, &error))?;
                Ok(self.busy(&check.holders, check.holders_total))
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Out of sight, although somebody is inside.
    fn detach(&self, check: &CheckReply) -> Result<Exit, Trouble> {
        take_away(&self.mount, Hand::Lazy)?;
        let number = count(number_inside(&check.holders, check.holders_total), "holder");
        self.note(&format!("detached; its daemon serves {number} still: `minirdr list`"));
        Ok(Exit::DONE)
    }

    /// No daemon was found: what the kernel can do.
    fn unserved(&self) -> Result<Exit, Trouble> {
        corpse::let_end(&self.mount);
        let pulse = corpse::pulse(&self.mount);
        let hand = match (pulse, self.args.force, self.args.lazy) {
            (Pulse::Silent, false, false) => {
                let line = "does not answer; umount -f cuts it off, umount -l puts it out of sight";
                return Err(Trouble::unreachable(format!("{}: {line}", self.shown)));
            }
            (_, _, true) => Hand::Lazy,
            (_, true, false) => Hand::Forced,
            (Pulse::Dead | Pulse::Alive, false, false) => Hand::Plain,
        };
        take_away(&self.mount, hand)?;
        utab::forget(OsStr::new(&self.mount.source), &self.place);
        match pulse {
            Pulse::Dead if self.args.verbose => self.note("a dead mount, unmounted"),
            Pulse::Dead => {}
            Pulse::Alive | Pulse::Silent => {
                self.note("unmounted; its daemon was not found here, and may not be done yet");
            }
        }
        Ok(Exit::DONE)
    }

    /// Somebody is inside, and named.
    fn busy(&self, holders: &[Holder], total: u64) -> Exit {
        match number_inside(holders, total) {
            0 => self.note("target is busy; who is inside cannot be seen from here"),
            total => {
                self.note(&format!("target is busy: {}", count(total, "holder")));
                self.table(&inside(holders), total);
            }
        }
        MOUNT_FAILED
    }

    fn table(&self, holders: &[Holder], total: u64) {
        // Of the usual columns there is none that does not exist.
        if let Ok(layout) = holders::layout(&TableArgs::default()) {
            layout.lines(&holders::rows(holders)).iter().for_each(|line| print::note(line));
        }
        let more = total.saturating_sub(holders.len() as u64);
        if more > 0 {
            print::note(&format!("… and {more} more"));
        }
    }

    /// How the stop ended: on stderr, unless all went well.
    fn tell(&self, answer: &Answer) -> Exit {
        let verdict = &answer.verdict;
        match (verdict.exit, self.args.verbose) {
            (Exit::DONE, true) => {
                // That nobody reads it changes nothing of what was done.
                let _ = print::answer(&verdict.lines.join("\n"));
            }
            // The first line is what -v is for; the rest is of what is not saved.
            (Exit::DONE, false) => verdict.lines.iter().skip(1).for_each(|line| print::note(line)),
            _ => verdict.lines.iter().for_each(|line| {
                print::note(&format!("{}: {line}", self.name));
            }),
        }
        if verdict.list_holders && verdict.exit != Exit::DONE {
            self.table(&answer.holders, answer.holders_total);
        }
        verdict.exit
    }

    fn note(&self, what: &str) {
        print::note(&format!("{}: {}: {what}", self.name, self.shown));
    }
}

fn reasoned() -> StopOptions {
    StopOptions { reason: Some("umount".to_owned()), ..StopOptions::default() }
}

/// The mount's own options, as its daemon tells them; its words read back.
fn configured(status: &MountStatus) -> MountOptions {
    MountOptions::parse(&status.options.join(",")).unwrap_or_default()
}

/// Those who are inside, without other mounts.
fn inside(holders: &[Holder]) -> Vec<Holder> {
    holders.iter().filter(|holder| holder.kind != "mount").cloned().collect()
}

/// How many these are, of all that hold it.
fn number_inside(holders: &[Holder], total: u64) -> u64 {
    let others = holders.iter().filter(|holder| holder.kind == "mount").count() as u64;
    total.saturating_sub(others)
}

/// Who holds it, when what was closed just now has been released.
fn settled(client: &mut Client) -> Result<CheckReply, ClientError> {
    let clock = SystemClock::new();
    let until = clock.now().after(RELEASE_WAIT);
    loop {
        let check = client.check()?;
        let is_handle = |holder: &Holder| matches!(holder.kind.as_str(), "handle" | "directory");
        let inside = inside(&check.holders);
        let may_pass = !inside.is_empty() && inside.iter().all(is_handle);
        if !may_pass || clock.now() >= until {
            return Ok(check);
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parsed(line: &str) -> Result<UmountHelperArgs, Trouble> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        parse(&words).map(|args| args.expect("no help"))
    }

    /// The ways umount(8) of util-linux calls a helper (reference users.md §7).
    #[test]
    fn words_are_those_of_umount_8() {
        UmountHelperArgs::command().debug_assert();
        let args = parsed("umount.minirdr /mnt/x -t fuse.minirdr").expect("good");
        assert_eq!(args.directory, Path::new("/mnt/x"));
        assert!(!args.force && !args.lazy);
        let args = parsed("umount.fuse.minirdr /mnt/x -n -l -f -r -v").expect("good");
        assert!(args.force && args.lazy && args.no_table && args.read_only && args.verbose);
        for wrong in ["umount.minirdr", "umount.minirdr /a /b", "umount.minirdr /a --frob"] {
            let trouble = parsed(wrong).expect_err(wrong);
            assert_eq!(trouble.exit, Exit::USAGE);
            assert!(!trouble.message.contains('\n'), "{trouble}");
        }
    }

    #[test]
    fn what_is_still_there_is_a_failure_however_it_was_tried() {
        let trouble = Trouble::failed("x");
        assert_eq!(still_there(Ok(Exit::DONE), true), Ok(MOUNT_FAILED));
        assert_eq!(still_there(Ok(Exit::LOST), false), Ok(Exit::LOST));
        assert_eq!(still_there(Err(trouble.clone()), false), Err(trouble.clone()));
        let there = Trouble { exit: MOUNT_FAILED, ..trouble.clone() };
        assert_eq!(still_there(Err(trouble), true), Err(there));
    }

    #[test]
    fn only_mounts_of_ours_are_unmounted() {
        let mounts = mountinfo::parse(
            b"1 0 254:1 / / rw - ext4 /dev/vda1 rw
41 1 0:38 / /mnt/bk rw - fuse.minirdr memory: rw
42 1 0:39 / /mnt/t rw - tmpfs none rw
",
        );
        assert!(ours(&mounts, Path::new("/mnt/bk")).is_ok());
        assert_eq!(covering(&mounts, Path::new("/mnt/bk")), None);
        assert_eq!(covering(&mounts, Path::new("/")).as_deref(), Some("/mnt/bk"));
        for (place, part) in [("/mnt/t", "of type tmpfs, not of minirdr"), ("/x", "not mounted")] {
            let trouble = ours(&mounts, Path::new(place)).expect_err(place);
            assert!(trouble.message.contains(part), "{trouble}");
            assert_eq!(trouble.exit, Exit::NOT_RUNNING);
        }
    }
}
