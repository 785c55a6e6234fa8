//! `--watch`: look every second, say what changed, until the reader or the daemon goes.

use crate::base::clock::{Clock, SystemClock};
use crate::base::ids::SerialNumber;
use crate::base::stop::{State, unix_seconds};
use crate::cli::exit::{Exit, Trouble};
use crate::cli::holders::{place, who};
use crate::cli::locate::{Target, explain};
use crate::cli::print::{self, Reader};
use crate::cli::view::time_text;
use crate::mgmt::client::{Client, ClientError};
use crate::mgmt::proto::{Holder, MountStatus, RequestsReply};
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Asks again and again. `show` gets what was before, if anything, and what is now; it prints and
/// says whether somebody still reads, or says nothing when nothing was worth printing.
///
/// # Errors
/// The daemon cannot be asked any more; `show` failed.
pub fn watch<T>(
    target: &Target,
    ask: impl Fn(&mut Client) -> Result<T, ClientError>,
    mut show: impl FnMut(Option<&T>, &T) -> Result<Option<Reader>, Trouble>,
) -> Result<Exit, Trouble> {
    let mut client = target.connect()?;
    let mut before: Option<T> = None;
    loop {
        let now = match ask(&mut client) {
            Ok(now) => now,
            // An orderly end takes the socket away; a daemon that was killed leaves it.
            Err(ClientError::Lost { .. } | ClientError::Unreachable { .. })
                if target.await_departure() =>
            {
                print::note(&format!("{}: its daemon has ended", target.name));
                return Ok(Exit::NOT_RUNNING);
            }
            Err(error) => return Err(explain(&target.name, &error)),
        };
        if show(before.as_ref(), &now)? == Some(Reader::Gone) {
            return Ok(Exit::DONE);
        }
        before = Some(now);
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A line with the time before it.
#[must_use]
pub fn stamped(line: &str) -> String {
    format!("{}  {line}", time_text(unix_seconds(SystemClock::new().wall())))
}

/// What of a status is worth a line when it changes.
#[must_use]
pub fn status_change(status: &MountStatus) -> (State, bool, u64, u64, u64) {
    let MountStatus { state, mounted, requests_in_flight, open_handles, unsent_bytes, .. } = status;
    (*state, *mounted, *requests_in_flight, *open_handles, *unsent_bytes)
}

/// Which requests there are.
#[must_use]
pub fn request_change(reply: &RequestsReply) -> Vec<SerialNumber> {
    let mut serials: Vec<_> = reply.requests.iter().map(|request| request.serial).collect();
    serials.sort_unstable();
    serials
}

/// `bash[8120] left scenes/`, `vim[4502] opened notes.md`: who came and who went.
#[must_use]
pub fn holder_changes(before: &[Holder], now: &[Holder]) -> Vec<String> {
    let same = |one: &Holder, other: &Holder| {
        (one.pid, &one.kind, &one.mode, &one.path)
            == (other.pid, &other.kind, &other.mode, &other.path)
    };
    // Two handles of one process on one file are alike: each is matched with one of the other side.
    let without = |holders: &[Holder], taken: &[Holder]| {
        let mut left = taken.to_vec();
        let is_new = |holder: &&Holder| match left.iter().position(|other| same(holder, other)) {
            Some(index) => {
                left.swap_remove(index);
                false
            }
            None => true,
        };
        holders.iter().filter(is_new).cloned().collect::<Vec<_>>()
    };
    let line = |verb: &str, holder: &Holder| format!("{} {verb} {}", who(holder), place(holder));
    let left = without(before, now).into_iter().map(|holder| line("left", &holder));
    let came = without(now, before).into_iter().map(|holder| line("holds", &holder));
    left.chain(came).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(command: &str, path: &str) -> Holder {
        Holder {
            pid: Some(1),
            command: Some(command.to_owned()),
            uid: None,
            user: None,
            kind: "handle".to_owned(),
            mode: "r".to_owned(),
            age_s: None,
            unsent_bytes: None,
            path: path.to_owned(),
            path_bytes: None,
            container: None,
        }
    }

    #[test]
    fn who_came_and_who_went() {
        let (a, b) = (holder("x", "a"), holder("y", "b"));
        let both = [a.clone(), b.clone()];
        assert!(holder_changes(&both, &both).is_empty());
        assert_eq!(holder_changes(&both, std::slice::from_ref(&a)), ["y[1] left b"]);
        assert_eq!(holder_changes(&[], &[b]), ["y[1] holds b"]);
    }

    #[test]
    fn of_two_alike_one_can_go() {
        let two = [holder("x", "a"), holder("x", "a")];
        assert_eq!(holder_changes(&two, &two[..1]), ["x[1] left a"]);
        assert_eq!(holder_changes(&two[..1], &two), ["x[1] holds a"]);
    }

    #[test]
    fn an_age_is_no_change() {
        let old = Holder { age_s: Some(1.0), ..holder("x", "a") };
        let older = Holder { age_s: Some(2.0), ..old.clone() };
        assert!(holder_changes(&[old], &[older]).is_empty());
    }
}
