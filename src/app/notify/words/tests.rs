//! What is said, and when.

use super::*;
use proptest::prelude::*;

const fn at(milliseconds: u64) -> Moment {
    Moment(milliseconds * 1_000_000)
}

/// 2026-11-27T15:00:00Z at moment 0, so that a deadline has a date.
fn wall(now: Moment) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_791_600) + now.since(Moment(0))
}

fn view(state: State, requests: u64, handles: u64, unsent_bytes: u64) -> View {
    View { state, requests, handles, unsent_bytes, call: None }
}

/// A drain that ends the process, with a deadline at 30 s.
fn draining(requests: u64, handles: u64) -> View {
    let call = Call {
        ticket: TicketNumber(2),
        step: "drain",
        ends: true,
        deadline: Some(at(30_000)),
        on_deadline: OnDeadline::Cancel,
        deadline_passed: false,
        grace_until: None,
    };
    View { call: Some(call), ..view(State::Draining, requests, handles, 0) }
}

fn with(view: &View, change: impl FnOnce(&mut Call)) -> View {
    let mut view = view.clone();
    change(view.call.as_mut().expect("one that runs"));
    view
}

/// A manager that reads: what the speaker says, it has been told.
struct Heard {
    speaker: Speaker,
    phase: Phase,
    reloads: (u64, u64),
}

impl Heard {
    fn new() -> Self {
        Self { speaker: Speaker::new(false), phase: Phase::Starting, reloads: (0, 0) }
    }

    fn serving() -> Self {
        let mut heard = Self::new();
        heard.phase = Phase::Serving;
        let first = heard.text(0, &view(State::Started, 0, 0, 0));
        assert_eq!(first, "READY=1\nSTATUS=running: 0 requests, 0 handles, 0 B unsent\n");
        heard
    }

    fn message(&mut self, milliseconds: u64, view: &View, alive: bool) -> Option<Message> {
        let now = at(milliseconds);
        let facts = Facts {
            view,
            phase: &self.phase,
            reloads_begun: self.reloads.0,
            reloads_done: self.reloads.1,
            monotonic_usec: 77,
            alive,
            wall: wall(now),
        };
        self.speaker.next(now, &facts)
    }

    /// What it hears at this time; nothing: an empty text.
    fn text(&mut self, milliseconds: u64, view: &View) -> String {
        let Some(message) = self.message(milliseconds, view, false) else { return String::new() };
        let text = message.text();
        self.speaker.sent(at(milliseconds), message);
        text
    }

    /// So many microseconds it is asked for.
    fn grant(&mut self, milliseconds: u64, view: &View) -> Option<u64> {
        let text = self.text(milliseconds, view);
        let grant = text.lines().find_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC="));
        grant.map(|usec| usec.parse().expect("a number"))
    }
}

#[test]
fn ready_comes_with_serving_and_once() {
    let mut heard = Heard::new();
    assert_eq!(heard.text(0, &view(State::Startable, 0, 0, 0)), "STATUS=starting\n");
    assert_eq!(heard.text(5_000, &view(State::Started, 1, 0, 0)), "");
    heard.phase = Phase::Serving;
    let ready = "READY=1\nSTATUS=running: 1 request, 0 handles, 0 B unsent\n";
    assert_eq!(heard.text(5_001, &view(State::Started, 1, 0, 0)), ready);
    assert_eq!(heard.text(9_000, &view(State::Started, 1, 0, 0)), "");
}

/// What fails to start says why, and neither READY nor STOPPING.
#[test]
fn what_failed_to_start_is_not_ready_and_does_not_stop() {
    let mut heard = Heard::new();
    heard.text(0, &view(State::Startable, 0, 0, 0));
    heard.phase = Phase::Over("bk: no\nsuch\u{1b} server".to_owned());
    assert_eq!(heard.text(1, &view(State::Startable, 0, 0, 0)), "STATUS=bk: no such  server\n");
}

/// One in the background says nothing before it has been handed the service; never READY.
#[test]
fn what_is_handed_over_does_not_speak_before() {
    let mut heard = Heard { speaker: Speaker::new(true), ..Heard::new() };
    assert_eq!(heard.text(0, &view(State::Startable, 0, 0, 0)), "");
    let mut failed = Heard { speaker: Speaker::new(true), ..Heard::new() };
    failed.phase = Phase::Over("no such server".to_owned());
    assert_eq!(failed.text(1, &view(State::Startable, 0, 0, 0)), "");
    heard.phase = Phase::Serving;
    let text = heard.text(2, &view(State::Started, 0, 2, 0));
    assert_eq!(text, "STATUS=running: 0 requests, 2 handles, 0 B unsent\n");
    heard.phase = Phase::Ending(at(60_000));
    assert!(
        heard.text(3, &view(State::Startable, 0, 0, 0)).starts_with("STOPPING=1\nSTATUS=ending")
    );
}

/// Numbers are told at most once a second, a change of state at once.
#[test]
fn numbers_wait_and_states_do_not() {
    let mut heard = Heard::serving();
    assert_eq!(heard.text(10, &view(State::Started, 3, 2, 0)), "");
    assert_eq!(heard.text(999, &view(State::Started, 3, 2, 8192)), "");
    assert_eq!(heard.speaker.next_numbers(at(999)), Duration::from_millis(1));
    let numbers = "STATUS=running: 3 requests, 2 handles, 8.0 KiB unsent\n";
    assert_eq!(heard.text(1_000, &view(State::Started, 3, 2, 8192)), numbers);
    let paused = "STATUS=paused: 3 requests, 2 handles, 8.0 KiB unsent\n";
    assert_eq!(heard.text(1_001, &view(State::Paused, 3, 2, 8192)), paused);
    let drained = heard.text(1_002, &draining(3, 2));
    assert!(drained.starts_with("STATUS=stopping (ticket 2, drain): 3 requests"), "{drained}");
}

#[test]
fn a_deadline_has_a_date_and_keeps_it() {
    let mut heard = Heard::serving();
    let text = heard.text(1_000, &draining(1, 2));
    let date = "; deadline 2026-11-27T15:00:30.000Z, then cancel\n";
    assert!(text.contains(date), "{text}");
    // The clocks are not read at one moment, and the date does not follow that.
    let now = at(2_000);
    let view = draining(0, 2);
    let facts = Facts {
        view: &view,
        phase: &heard.phase,
        reloads_begun: 0,
        reloads_done: 0,
        monotonic_usec: 0,
        alive: false,
        wall: wall(at(2_003)),
    };
    let message = heard.speaker.next(now, &facts).expect("a number has changed");
    assert!(message.text().contains(date), "{}", message.text());
    let late = with(&draining(0, 2), |call| call.deadline_passed = true);
    assert!(heard.text(30_001, &late).contains("; past its deadline\n"));
    let stays = with(&draining(0, 2), |call| call.deadline = None);
    assert!(heard.text(31_500, &stays).ends_with("0 B unsent\n"));
}

/// S-82: time is asked for when the stop begins, with each step, and when less is left than ever in
/// it; not while nothing changes, nor when more comes or the same goes and comes back.
#[test]
fn time_is_asked_for_when_a_stop_gets_on() {
    let mut heard = Heard::serving();
    // The deadline's 30 s and what may come after it are less than the least that is asked for.
    assert_eq!(heard.grant(1_000, &draining(3, 2)), Some(60_000_000), "it begins");
    assert_eq!(heard.grant(3_000, &draining(3, 2)), None, "nothing happens");
    assert_eq!(heard.grant(5_000, &draining(4, 2)), None, "more comes");
    assert_eq!(heard.grant(7_000, &draining(3, 2)), None, "and goes");
    assert_eq!(heard.grant(9_000, &draining(2, 2)), Some(60_000_000), "a request has ended");
    assert_eq!(heard.grant(11_000, &draining(3, 1)), Some(60_000_000), "a handle was closed");
    let sealing = with(&draining(3, 1), |call| call.step = "seal");
    assert_eq!(heard.grant(11_001, &sealing), Some(60_000_000), "a step is done");
    assert_eq!(heard.grant(20_000, &sealing), None);
}

/// A longer deadline is waited for, and what may come after it, from the beginning: a kill would
/// come before what the deadline does. A deadline at which nothing is done bounds nothing.
#[test]
fn a_deadline_is_waited_for() {
    let far = with(&draining(1, 0), |call| call.deadline = Some(at(601_000)));
    assert_eq!(Heard::serving().grant(1_000, &far), Some(610_000_000));
    let stays = with(&far, |call| call.on_deadline = OnDeadline::Stay);
    assert_eq!(Heard::serving().grant(1_000, &stays), Some(60_000_000));
    let grace = with(&stays, |call| call.grace_until = Some(at(301_000)));
    assert_eq!(Heard::serving().grant(1_000, &grace), Some(360_000_000));
    let none = with(&far, |call| call.deadline = None);
    assert_eq!(Heard::serving().grant(1_000, &none), Some(60_000_000));
}

/// S-83: a stop that leaves the mount where it is asks for nothing and says no STOPPING: its daemon
/// stays. One that joins it to unmount makes it one that ends.
#[test]
fn a_stop_that_leaves_the_mount_is_not_the_end() {
    let mut heard = Heard::serving();
    let stays = with(&draining(1, 0), |call| call.ends = false);
    let text = heard.text(1_000, &stays);
    assert!(text.starts_with("STATUS=stopping") && !text.contains("EXTEND"), "{text}");
    let text = heard.text(3_000, &draining(1, 0));
    assert!(text.starts_with("EXTEND_TIMEOUT_USEC="), "{text}");
    assert_eq!(heard.text(3_001, &view(State::Startable, 0, 0, 0)).lines().count(), 1);
    heard.phase = Phase::Ending(at(160_000));
    let text = heard.text(4_000, &view(State::Startable, 0, 0, 0));
    let wanted = "STOPPING=1\nSTATUS=ending: 0 requests, 0 handles, 0 B unsent\n\
                  EXTEND_TIMEOUT_USEC=156000000\n";
    assert_eq!(text, wanted);
    heard.phase = Phase::Over("ended, all saved".to_owned());
    assert_eq!(heard.text(4_001, &view(State::Startable, 0, 0, 0)), "STATUS=ended, all saved\n");
    assert_eq!(heard.text(4_002, &view(State::Startable, 0, 0, 0)), "");
}

/// What did not get through is said again, as it is then.
#[test]
fn what_was_not_sent_is_still_to_be_said() {
    let mut heard = Heard::new();
    heard.phase = Phase::Serving;
    let running = view(State::Started, 0, 0, 0);
    assert!(heard.message(0, &running, true).is_some_and(|message| message.alive));
    heard.phase = Phase::Ending(at(0));
    let text = heard.text(1, &view(State::Startable, 0, 0, 0));
    assert!(text.starts_with("READY=1\nSTATUS=ending"), "{text}");
    assert!(text.ends_with("WATCHDOG=1\n"), "{text}");
    // Of two such words in one message systemd would take the last alone.
    assert_eq!(heard.text(2, &view(State::Startable, 0, 0, 0)), "STOPPING=1\n");
}

#[test]
fn a_reload_begins_and_ends() {
    let mut heard = Heard::serving();
    let running = view(State::Started, 0, 0, 0);
    heard.reloads = (1, 1);
    assert_eq!(heard.text(1, &running), "RELOADING=1\nMONOTONIC_USEC=77\n");
    heard.reloads = (3, 2);
    assert_eq!(heard.text(2, &running), "READY=1\n");
    assert_eq!(heard.text(3, &running), "RELOADING=1\nMONOTONIC_USEC=77\n");
    assert_eq!(heard.text(4, &running), "", "it goes on");
    heard.reloads = (3, 3);
    assert_eq!(heard.text(5, &running), "READY=1\n");
}

#[test]
fn a_status_fits_into_a_message() {
    let mut heard = Heard::new();
    heard.phase = Phase::Over("\u{e4}\n".repeat(5_000));
    let text = heard.text(0, &view(State::Startable, 0, 0, 0));
    assert!(text.len() <= NOTIFY_STATUS_BYTES_MAX + "STATUS=\n".len() && text.len() > 1_000);
    assert_eq!(text.lines().count(), 1);
}

proptest! {
    /// However a drain goes, it asks for more time only so often as its numbers can fall, at most
    /// once a second in one step, and each time for long enough.
    #[test]
    fn a_stop_that_gets_nowhere_is_not_kept_up(
        looks in prop::collection::vec((0_u64..400, 0_u64..6, 0_u64..6), 1..200)
    ) {
        let mut heard = Heard::serving();
        let (mut now, mut last, mut grants) = (1_000, None, 0_u64);
        let first = looks[0];
        for (passed, requests, handles) in &looks {
            now += passed;
            if let Some(grant) = heard.grant(now, &draining(*requests, *handles)) {
                prop_assert!(last.is_none_or(|last| now - last >= 1_000));
                prop_assert!(grant >= 60_000_000);
                (last, grants) = (Some(now), grants + 1);
            }
        }
        prop_assert!(grants > 0);
        prop_assert!(grants <= 1 + first.1 + first.2, "{grants} from {first:?}");
    }
}
