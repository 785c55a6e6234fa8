//! `--watch`: look every second, say what changed, until the reader or the daemon goes.

use crate::base::clock::{Clock, SystemClock};
use crate::base::ids::{HandleNumber, SerialNumber};
use crate::base::stop::{State, unix_seconds};
use crate::cli::exit::{Exit, Trouble};
use crate::cli::holders::{place, who};
use crate::cli::locate::{Target, explain};
use crate::cli::print::{self, Reader};
use crate::cli::view::time_text;
use crate::mgmt::client::{Client, ClientError};
use crate::mgmt::proto::{Holder, MountStatus, RequestsReply};
use std::collections::HashMap;
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Comings and goings told in one line; more are counted.
const TOLD_MAX: usize = 16;

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

/// Who came and who went between two looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Those who do not hold it any more.
    pub left: Vec<Holder>,
    /// Those who did not before.
    pub came: Vec<Holder>,
}

impl Changes {
    /// Two handles of one process on one file are alike: each is matched with one of the other
    /// side.
    #[must_use]
    pub fn between(before: &[Holder], now: &[Holder]) -> Self {
        let mut open: HashMap<_, usize> = HashMap::new();
        for holder in before {
            *open.entry(key(holder)).or_default() += 1;
        }
        let mut came = Vec::new();
        for holder in now {
            match open.get_mut(&key(holder)).filter(|count| **count > 0) {
                Some(count) => *count -= 1,
                None => came.push(holder.clone()),
            }
        }
        let mut left = Vec::new();
        for holder in before {
            if let Some(count) = open.get_mut(&key(holder)).filter(|count| **count > 0) {
                *count -= 1;
                left.push(holder.clone());
            }
        }
        Self { left, came }
    }

    /// Has nobody come or gone?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left.is_empty() && self.came.is_empty()
    }

    /// `bash[8120] left scenes/, vim[4502] holds notes.md`.
    #[must_use]
    pub fn text(&self) -> String {
        let line = |verb: &str, holder: &Holder| match holder.kind.as_str() {
            "detached" if verb == "holds" => {
                format!("{} was detached from {}", who(holder), place(holder))
            }
            _ => format!("{} {verb} {}", who(holder), place(holder)),
        };
        // Of a handle that was detached, one half is enough.
        let detached = |one: &Holder| {
            self.came.iter().any(|other| {
                other.kind == "detached" && other.handle.is_some() && other.handle == one.handle
            })
        };
        let left = self.left.iter().filter(|one| !detached(one)).map(|one| line("left", one));
        let came = self.came.iter().map(|one| line("holds", one));
        let mut told: Vec<String> = left.chain(came).collect();
        let more = told.len().saturating_sub(TOLD_MAX);
        told.truncate(TOLD_MAX);
        if more > 0 {
            told.push(format!("… and {more} more"));
        }
        told.join(", ")
    }
}

/// What makes two holders alike. A handle keeps its number: two opens of one file are told apart.
fn key(holder: &Holder) -> (Option<u32>, Option<HandleNumber>, &str, &str, &str) {
    let Holder { pid, handle, kind, mode, path, .. } = holder;
    (*pid, *handle, kind, mode, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::holders::tests::holder;

    fn held(command: &str, path: &str) -> Holder {
        holder(command, 1, "handle", path)
    }

    #[test]
    fn who_came_and_who_went() {
        let (a, b) = (held("x", "a"), held("y", "b"));
        let both = [a.clone(), b.clone()];
        assert!(Changes::between(&both, &both).is_empty());
        assert_eq!(Changes::between(&both, std::slice::from_ref(&a)).text(), "y[1] left b");
        assert_eq!(Changes::between(&[a], &[b]).text(), "x[1] left a, y[1] holds b");
    }

    #[test]
    fn of_two_alike_one_can_go() {
        let two = [held("x", "a"), held("x", "a")];
        assert_eq!(Changes::between(&two, &two[..1]).text(), "x[1] left a");
        assert_eq!(Changes::between(&two[..1], &two).text(), "x[1] holds a");
    }

    #[test]
    fn a_handle_that_was_detached_did_not_leave() {
        let before = Holder { handle: Some(HandleNumber(3)), ..held("x", "a") };
        let after = Holder { kind: "detached".to_owned(), ..before.clone() };
        let changes = Changes::between(&[before], std::slice::from_ref(&after));
        assert_eq!(changes.text(), "x[1] was detached from a");
        assert_eq!(Changes::between(&[after], &[]).text(), "x[1] left a");
    }

    #[test]
    fn a_crowd_is_counted() {
        let crowd: Vec<Holder> = (0..20).map(|number| held("x", &number.to_string())).collect();
        let text = Changes::between(&crowd, &[]).text();
        assert_eq!(text.matches("left").count(), TOLD_MAX);
        assert!(text.ends_with(", … and 4 more"), "{text}");
    }
}
