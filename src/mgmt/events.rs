//! The event queue of a daemon: numbered, bounded, never waiting for a reader (management.md §3).
//!
//! A reader holds a [`Cursor`] and nothing of the queue's, so there can be any number of them and
//! none can slow the publisher. What a slow reader missed it is told: one `overflow` for each run
//! of numbers that is gone, so that the numbers it saw and those it was told lost are all there
//! were.
//!
//! Each device has a queue of its own, of three lanes. What happened on the way is overtaken first;
//! losses and survivors have a lane of their own, and results another, so that neither can push out
//! the other nor the present; and no device pushes out what another one told. A reader sees them
//! merged, in the order of their numbers.
//!
//! Progress and refusals are coalesced per device, kind and operation: the first is told at once,
//! the next no sooner than [`EVENTS_COALESCED_FOR`] later, with what came in between. No thread
//! drives this: whoever publishes, reads or waits next brings out what is due, and a waiter wakes
//! up for it.

use crate::base::clock::{Clock, Moment};
use crate::base::ids::Generation;
use crate::base::limits::{
    EVENT_DEVICES_MAX, EVENT_LISTENERS_MAX, EVENTS_COALESCED_FOR, EVENTS_COALESCED_MAX,
    EVENTS_KEPT, EVENTS_LASTING_KEPT,
};
use crate::base::stop::Notice;
use crate::base::sync::{Condvar, Mutex, Rank, assert_no_locks};
use crate::mgmt::proto::{Event, EventKind, OverflowTag};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How far a reader has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The last number seen; none: whatever is kept, from the oldest.
    seen: Option<u64>,
}

impl Cursor {
    /// Reads what is kept, from the oldest, with no word about what is gone already.
    #[must_use]
    pub const fn oldest() -> Self {
        Self { seen: None }
    }

    /// Reads what comes after number `seq`; 0: from the daemon's first event.
    #[must_use]
    pub const fn after(seq: u64) -> Self {
        Self { seen: Some(seq) }
    }

    /// The number after which to read on: 0 when nothing was read yet.
    #[must_use]
    pub fn place(self) -> u64 {
        self.seen.unwrap_or(0)
    }
}

/// A listener told "something new"; called without locks, must not block.
pub type Listener = Box<dyn Fn() + Send + Sync>;

/// Names a listener until it is taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerNumber(u64);

/// The queue of one daemon.
pub struct EventQueue {
    clock: Arc<dyn Clock>,
    ring: Mutex<Ring>,
    arrived: Condvar,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    last: u64,
    /// Copied under the lock, called outside of it.
    all: Vec<(ListenerNumber, Arc<dyn Fn() + Send + Sync>)>,
}

impl std::fmt::Debug for EventQueue {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("EventQueue").field("last", &self.last()).finish_non_exhaustive()
    }
}

impl EventQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            ring: Mutex::new(Rank::Events, Ring::default()),
            arrived: Condvar::new(),
            listeners: Mutex::new(Rank::Leaf, Listeners::default()),
        }
    }

    /// Keeps a queue for a device that may tell its first event after many others have.
    pub fn reserve(&self, device: &str) {
        let mut ring = self.ring.lock();
        ring.of_device(device);
    }

    /// Announces `notice` of a device; never waits. The caller holds no lock: listeners are told.
    pub fn publish(&self, device: &str, generation: Generation, notice: Notice) {
        self.advance(|ring, now, wall| ring.publish(now, wall, device, generation, notice));
        // Also for what waits to be told: a reader asleep must know when to wake up for it.
        self.arrived.notify_all();
    }

    /// Brings out what is due. Needs no call while anybody reads or publishes; for an owner who
    /// wants listeners told in time on a quiet queue.
    pub fn tick(&self) {
        self.advance(|_, _, _| ());
    }

    /// The next event for `cursor`, if there is one (ERROR_NO_MORE_ITEMS is `None`).
    pub fn read(&self, cursor: &mut Cursor) -> Option<Event> {
        self.advance(|ring, _, wall| ring.next(cursor, wall))
    }

    /// The next event for `cursor`, waiting up to `limit` for it.
    pub fn wait(&self, cursor: &mut Cursor, limit: Duration) -> Option<Event> {
        let deadline = self.clock.now().after(limit);
        let mut left = limit;
        loop {
            let (event, due) =
                self.advance(|ring, _, wall| (ring.next(cursor, wall), ring.next_due()));
            if event.is_some() {
                return event;
            }
            let now = self.clock.now();
            let sleep = due.map_or(deadline, |due| due.min(deadline)).since(now).min(left);
            if deadline <= now || left.is_zero() {
                return None;
            }
            let mut ring = self.ring.lock();
            if ring.has_news(*cursor) || ring.next_due() != due {
                continue;
            }
            if self.arrived.wait_for(&mut ring, sleep) {
                // Counted besides the clock, which a test may hold still.
                left = left.saturating_sub(sleep.max(Duration::from_millis(1)));
            }
        }
    }

    /// The number of the last event; 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.ring.lock().last
    }

    /// Calls `listener` after each new event, on the publisher's thread and without locks. `None`
    /// when [`EVENT_LISTENERS_MAX`] listen already.
    pub fn subscribe(&self, listener: Listener) -> Option<ListenerNumber> {
        let mut listeners = self.listeners.lock();
        if listeners.all.len() >= EVENT_LISTENERS_MAX {
            return None;
        }
        listeners.last += 1;
        let number = ListenerNumber(listeners.last);
        listeners.all.push((number, Arc::from(listener)));
        Some(number)
    }

    /// Takes a listener off. A call of it that has begun on another thread may still be running.
    pub fn unsubscribe(&self, number: ListenerNumber) {
        let gone = {
            let mut listeners = self.listeners.lock();
            let at = listeners.all.iter().position(|(other, _)| *other == number);
            at.map(|at| listeners.all.swap_remove(at))
        };
        // What the listener owns is dropped here, outside the lock.
        drop(gone);
    }

    /// Brings out what is due, does `act`, and tells everybody if events were numbered.
    fn advance<T>(&self, act: impl FnOnce(&mut Ring, Moment, SystemTime) -> T) -> T {
        assert_no_locks("an event");
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let (outcome, numbered) = {
            let mut ring = self.ring.lock();
            let before = ring.last;
            ring.bring_out_due(now, wall);
            (act(&mut ring, now, wall), ring.last > before)
        };
        if numbered {
            self.arrived.notify_all();
            self.tell_listeners();
        }
        outcome
    }

    fn tell_listeners(&self) {
        let all: Vec<_> =
            self.listeners.lock().all.iter().map(|(_, call)| Arc::clone(call)).collect();
        for call in all {
            call();
        }
    }
}

/// How long an event is worth keeping: the index of its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// What happened on the way.
    Passing,
    /// What somebody must still do something about.
    Lasting,
    /// How a call ended.
    Result,
}

impl Lane {
    fn of(notice: &Notice) -> Self {
        match notice {
            Notice::Stopped { .. }
            | Notice::Started { .. }
            | Notice::ProviderAdded { .. }
            | Notice::ProviderRemoved { .. }
            | Notice::ProviderReplaced { .. } => Self::Result,
            Notice::Loss(_) | Notice::Survivors { .. } => Self::Lasting,
            Notice::StopRequested { .. }
            | Notice::Draining { .. }
            | Notice::WrittenBack { .. }
            | Notice::Cancelled { .. }
            | Notice::Sealed
            | Notice::PrefixTaken { .. }
            | Notice::PrefixReleased { .. }
            | Notice::Deregistered
            | Notice::Unmounted
            | Notice::RedirectorStopped
            | Notice::DispatcherSpunDown
            | Notice::Arrived { .. }
            | Notice::Paused
            | Notice::Resumed
            | Notice::Refused { .. }
            | Notice::Detached { .. }
            | Notice::HolderLeft { .. }
            | Notice::Deadline { .. }
            | Notice::SaveConfig { .. }
            | Notice::UnmountedOutside => Self::Passing,
        }
    }

    const fn room(self) -> usize {
        match self {
            Self::Passing => EVENTS_KEPT - 2 * EVENTS_LASTING_KEPT,
            Self::Lasting | Self::Result => EVENTS_LASTING_KEPT,
        }
    }
}

/// What is kept of one device.
#[derive(Debug, Default)]
struct Kept {
    device: String,
    lanes: [VecDeque<Event>; 3],
}

/// What is coalesced with what: device, and the word of the kind or the refused operation.
type Key = (String, String);

/// A kind of progress or refusal that was told lately.
#[derive(Debug)]
struct Told {
    key: Key,
    /// When it may be told again.
    again: Moment,
    /// What came since.
    since: Option<(Generation, Notice)>,
}

/// The policy: what is numbered, what is kept. Time is an argument.
#[derive(Debug, Default)]
struct Ring {
    /// The last number given.
    last: u64,
    /// One for each device; those beyond [`EVENT_DEVICES_MAX`] share the last one.
    kept: Vec<Kept>,
    told: Vec<Told>,
}

impl Ring {
    /// Numbers `notice`, or keeps it to be told later with others of its kind.
    fn publish(
        &mut self,
        now: Moment,
        wall: SystemTime,
        device: &str,
        generation: Generation,
        notice: Notice,
    ) {
        if ends_draining(&notice) {
            // Numbers of a drain that is over would only contradict what follows.
            let key = (device.to_owned(), "draining".to_owned());
            self.told.retain(|told| told.key != key);
        }
        let Some(word) = coalesced_as(&notice) else {
            self.number(wall, device, generation, notice);
            return;
        };
        let key = (device.to_owned(), word);
        if let Some(told) = self.told.iter_mut().find(|told| told.key == key) {
            told.since = Some((generation, merged(told.since.take(), notice)));
            return;
        }
        if self.told.len() < EVENTS_COALESCED_MAX {
            self.told.push(Told { key, again: now.after(EVENTS_COALESCED_FOR), since: None });
        }
        self.number(wall, device, generation, notice);
    }

    /// Numbers what has waited long enough, and forgets kinds that were quiet as long.
    fn bring_out_due(&mut self, now: Moment, wall: SystemTime) {
        if self.told.iter().all(|told| told.again > now) {
            return;
        }
        let (due, mut told): (Vec<Told>, Vec<Told>) =
            std::mem::take(&mut self.told).into_iter().partition(|told| told.again <= now);
        for Told { key, since, .. } in due {
            let Some((generation, notice)) = since else { continue };
            self.number(wall, &key.0, generation, notice);
            told.push(Told { key, again: now.after(EVENTS_COALESCED_FOR), since: None });
        }
        self.told = told;
    }

    /// When something that waits may be told.
    fn next_due(&self) -> Option<Moment> {
        self.told.iter().filter(|told| told.since.is_some()).map(|told| told.again).min()
    }

    fn number(&mut self, wall: SystemTime, device: &str, generation: Generation, notice: Notice) {
        self.last += 1;
        let lane = Lane::of(&notice);
        let event = Event {
            seq: self.last,
            at: rfc3339(wall),
            device: device.to_owned(),
            generation,
            what: EventKind::Notice(notice),
        };
        let kept = &mut self.of_device(device).lanes[lane as usize];
        if kept.len() >= lane.room() {
            kept.pop_front();
        }
        kept.push_back(event);
    }

    /// The queue of a device.
    fn of_device(&mut self, device: &str) -> &mut Kept {
        let known = self.kept.iter().position(|kept| kept.device == device);
        let at = known.unwrap_or_else(|| {
            if self.kept.len() < EVENT_DEVICES_MAX {
                self.kept.push(Kept { device: device.to_owned(), ..Kept::default() });
            }
            self.kept.len() - 1
        });
        &mut self.kept[at]
    }

    fn has_news(&self, cursor: Cursor) -> bool {
        self.last > cursor.seen.unwrap_or(0)
    }

    /// The next event after `cursor`, or the word that some are gone.
    fn next(&self, cursor: &mut Cursor, wall: SystemTime) -> Option<Event> {
        let seen = cursor.seen.unwrap_or(0);
        let next = self
            .kept
            .iter()
            .flat_map(|kept| &kept.lanes)
            .filter_map(|lane| lane.get(lane.partition_point(|event| event.seq <= seen)))
            .min_by_key(|event| event.seq)?;
        if cursor.seen.is_none() || next.seq == seen + 1 {
            cursor.seen = Some(next.seq);
            return Some(next.clone());
        }
        let (first_lost, last_lost) = (seen + 1, next.seq - 1);
        cursor.seen = Some(last_lost);
        Some(Event {
            seq: last_lost,
            at: rfc3339(wall),
            device: next.device.clone(),
            generation: next.generation,
            what: EventKind::Overflow { kind: OverflowTag::Overflow, first_lost, last_lost },
        })
    }
}

/// Does it say that the drain, of which `draining` tells the progress, is over?
fn ends_draining(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::Sealed | Notice::Stopped { .. } | Notice::Resumed | Notice::Started { .. }
    )
}

/// The word under which a notice is coalesced, if it is.
fn coalesced_as(notice: &Notice) -> Option<String> {
    match notice {
        Notice::Draining { .. } => Some("draining".to_owned()),
        Notice::HolderLeft { .. } => Some("holder_left".to_owned()),
        Notice::Refused { operation, .. } => Some(format!("refused {operation}")),
        _ => None,
    }
}

/// Two notices of one kind as one: refusals add up, of progress the newest counts.
fn merged(earlier: Option<(Generation, Notice)>, later: Notice) -> Notice {
    match (earlier, later) {
        (
            Some((_, Notice::Refused { requests: before, .. })),
            Notice::Refused { operation, requests },
        ) => Notice::Refused { operation, requests: before.saturating_add(requests) },
        (_, later) => later,
    }
}

/// A time as the protocol writes it: RFC 3339, UTC, milliseconds.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let printer = jiff::fmt::temporal::DateTimePrinter::new().precision(Some(3));
    // Outside the years jiff knows there is nothing better to say than their end.
    let timestamp = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX);
    printer.timestamp_to_string(&timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{ManualClock, SystemClock};
    use crate::base::ids::{Caller, TicketNumber};
    use crate::base::stop::{CallResult, ConfigScope, Loss, OnDeadline};
    use crate::base::threads;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const GENERATION: Generation = Generation(3);

    fn queue() -> (Arc<ManualClock>, EventQueue) {
        let clock = Arc::new(ManualClock::new());
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        (clock, EventQueue::new(shared))
    }

    fn draining(requests: u64) -> Notice {
        Notice::Draining { requests, handles: 0, unsent_bytes: 0 }
    }

    fn refused(operation: &str, requests: u64) -> Notice {
        Notice::Refused { operation: operation.to_owned(), requests }
    }

    fn stopped(ticket: u64) -> Notice {
        Notice::Stopped { ticket: Some(TicketNumber(ticket)), result: CallResult::Success }
    }

    fn loss() -> Notice {
        Notice::Loss(Loss { path: b"a".to_vec(), bytes: 1, ..Loss::default() })
    }

    fn all(queue: &EventQueue, mut cursor: Cursor) -> Vec<Event> {
        std::iter::from_fn(|| queue.read(&mut cursor)).collect()
    }

    fn notices(queue: &EventQueue) -> Vec<Notice> {
        all(queue, Cursor::oldest())
            .into_iter()
            .map(|event| match event.what {
                EventKind::Notice(notice) => notice,
                EventKind::Overflow { .. } => panic!("nothing was lost"),
            })
            .collect()
    }

    /// Every notice as an event goes through JSON and back, with no two fields of one name.
    #[test]
    fn every_event_survives_json() {
        let (ticket, result) = (TicketNumber(2), CallResult::Success);
        let samples = [
            Notice::StopRequested {
                ticket: Some(TicketNumber(1)),
                asked_by: Caller::local(1, 2, 3),
                reason: Some("why".to_owned()),
            },
            draining(1),
            Notice::WrittenBack { bytes: 1 },
            Notice::Cancelled { requests: 1 },
            Notice::Sealed,
            Notice::PrefixTaken { prefix: "/a".to_owned(), from: None },
            Notice::PrefixReleased { prefix: "/a".to_owned() },
            Notice::Deregistered,
            Notice::Unmounted,
            Notice::RedirectorStopped,
            Notice::Survivors { handles: 1 },
            Notice::DispatcherSpunDown,
            stopped(1),
            Notice::Started {
                ticket: None,
                result: CallResult::Success,
                generation: Generation(9),
            },
            Notice::Paused,
            Notice::Resumed,
            Notice::ProviderAdded { ticket, provider: "docs".to_owned(), result },
            Notice::ProviderRemoved { ticket, provider: "docs".to_owned(), result },
            Notice::ProviderReplaced { ticket, provider: "docs".to_owned(), result },
            refused("open", 1),
            loss(),
            Notice::HolderLeft { handles: 1 },
            Notice::Deadline { on_deadline: OnDeadline::Stay },
            Notice::SaveConfig { scope: ConfigScope::Mount },
            Notice::UnmountedOutside,
        ];
        let overflow =
            EventKind::Overflow { kind: OverflowTag::Overflow, first_lost: 1, last_lost: 2 };
        let kinds = samples.into_iter().map(EventKind::Notice).chain([overflow]);
        for what in kinds {
            let event = Event {
                seq: 1,
                at: rfc3339(SystemTime::UNIX_EPOCH),
                device: "m".to_owned(),
                generation: GENERATION,
                what,
            };
            let text = serde_json::to_string(&event).expect("serialises");
            assert!(text.contains("\"kind\":"), "{text}");
            let back: Event = serde_json::from_str(&text).expect("parses");
            assert_eq!(back, event, "{text}");
        }
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00.000Z");
        let later = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_223_527_050);
        assert_eq!(rfc3339(later), "2026-11-21T01:12:07.050Z");
    }

    #[test]
    fn numbers_start_at_one_without_gaps() {
        let (_, queue) = queue();
        assert_eq!(queue.last(), 0);
        assert_eq!(queue.read(&mut Cursor::oldest()), None);
        for _ in 0..10 {
            queue.publish("m", GENERATION, Notice::Paused);
        }
        let numbers: Vec<u64> =
            all(&queue, Cursor::after(0)).iter().map(|event| event.seq).collect();
        assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
        assert_eq!(all(&queue, Cursor::after(7)).len(), 3);
        assert_eq!(queue.last(), 10);
    }

    /// At most one `draining` a second, and it is the newest; nothing of it after the drain's end.
    #[test]
    fn progress_is_coalesced() {
        let (clock, queue) = queue();
        for requests in (1..=5).rev() {
            queue.publish("m", GENERATION, draining(requests));
        }
        assert_eq!(notices(&queue), [draining(5)]);
        clock.advance(EVENTS_COALESCED_FOR);
        assert_eq!(notices(&queue), [draining(5), draining(1)], "brought out by the reader");
        queue.publish("m", GENERATION, draining(0));
        queue.publish("m", GENERATION, Notice::Sealed);
        clock.advance(EVENTS_COALESCED_FOR);
        queue.publish("m", GENERATION, stopped(1));
        clock.advance(EVENTS_COALESCED_FOR);
        queue.tick();
        assert_eq!(notices(&queue), [draining(5), draining(1), Notice::Sealed, stopped(1)]);
    }

    /// Refusals add up, per device and operation; every one is told in the end.
    #[test]
    fn refusals_add_up() {
        let (clock, queue) = queue();
        for _ in 0..100 {
            queue.publish("m", GENERATION, refused("open", 2));
            queue.publish("m", GENERATION, refused("read", 1));
            queue.publish("other", GENERATION, refused("read", 1));
        }
        assert_eq!(notices(&queue), [refused("open", 2), refused("read", 1), refused("read", 1)]);
        clock.advance(EVENTS_COALESCED_FOR);
        queue.publish("m", GENERATION, refused("open", 1));
        let later: Vec<_> = notices(&queue).split_off(3);
        assert_eq!(later, [refused("open", 198), refused("read", 99), refused("read", 99)]);
        clock.advance(EVENTS_COALESCED_FOR);
        assert_eq!(notices(&queue).split_off(6), [refused("open", 1)]);
        clock.advance(EVENTS_COALESCED_FOR);
        queue.tick();
        assert!(queue.ring.lock().told.is_empty(), "quiet kinds are forgotten");
    }

    #[test]
    fn kinds_told_apart_are_bounded() {
        let (_, queue) = queue();
        for number in 0..2 * EVENTS_COALESCED_MAX {
            queue.publish("m", GENERATION, refused(&number.to_string(), 1));
        }
        assert_eq!(queue.ring.lock().told.len(), EVENTS_COALESCED_MAX);
        assert_eq!(notices(&queue).len(), 2 * EVENTS_COALESCED_MAX, "none was lost for that");
    }

    /// A flood of anything leaves results, and the newest of everything, in place.
    #[test]
    fn results_outlive_floods() {
        let (_, queue) = queue();
        queue.publish("m", GENERATION, stopped(1));
        queue.publish("m", GENERATION, Notice::Survivors { handles: 2 });
        for _ in 0..2 * EVENTS_KEPT {
            queue.publish("m", GENERATION, Notice::Paused);
        }
        let first = all(&queue, Cursor::oldest());
        assert_eq!(first[0].what, EventKind::Notice(stopped(1)));
        assert_eq!(first[1].what, EventKind::Notice(Notice::Survivors { handles: 2 }));
        for _ in 0..2 * EVENTS_KEPT {
            queue.publish("m", GENERATION, loss());
        }
        queue.publish("m", GENERATION, Notice::Resumed);
        let after = all(&queue, Cursor::oldest());
        assert_eq!(after[0].what, EventKind::Notice(stopped(1)));
        assert_eq!(
            after.last().map(|event| &event.what),
            Some(&EventKind::Notice(Notice::Resumed))
        );
        let kept: usize = queue.ring.lock().kept[0].lanes.iter().map(VecDeque::len).sum();
        assert!(kept <= EVENTS_KEPT, "{kept} kept");
    }

    /// A flood of one device pushes out nothing of another; devices beyond the bound share a queue,
    /// which is bounded as any other.
    #[test]
    fn a_device_pushes_out_nothing_of_another() {
        let (_, queue) = queue();
        queue.publish("quiet", GENERATION, Notice::Resumed);
        queue.publish("quiet", GENERATION, stopped(1));
        for _ in 0..2 * EVENTS_KEPT {
            queue.publish("loud", GENERATION, Notice::Paused);
            queue.publish("loud", GENERATION, stopped(2));
        }
        let kept = all(&queue, Cursor::after(0));
        let quiet: Vec<u64> =
            kept.iter().filter(|event| event.device == "quiet").map(|event| event.seq).collect();
        assert_eq!(quiet, [1, 2]);
        assert!(matches!(kept[2].what, EventKind::Overflow { first_lost: 3, .. }), "{:?}", kept[2]);
        for device in 0..2 * EVENT_DEVICES_MAX {
            for _ in 0..2 * EVENTS_KEPT / EVENT_DEVICES_MAX {
                queue.publish(&device.to_string(), GENERATION, Notice::Paused);
            }
        }
        let ring = queue.ring.lock();
        assert_eq!(ring.kept.len(), EVENT_DEVICES_MAX);
        for kept in &ring.kept {
            assert!(kept.lanes.iter().map(VecDeque::len).sum::<usize>() <= EVENTS_KEPT);
        }
    }

    /// A reader asleep is woken by an event, and by one that only becomes due.
    #[test]
    fn a_waiter_is_woken() {
        let queue = Arc::new(EventQueue::new(SystemClock::shared()));
        let mut cursor = Cursor::oldest();
        assert_eq!(queue.wait(&mut cursor, Duration::from_millis(5)), None);
        let publisher = {
            let queue = Arc::clone(&queue);
            threads::spawn("t-publish", move || {
                queue.publish("m", GENERATION, refused("open", 1));
                queue.publish("m", GENERATION, refused("open", 7));
            })
            .expect("room for a thread")
        };
        let limit = Duration::from_secs(20);
        let clock = SystemClock::new();
        let first = queue.wait(&mut cursor, limit).expect("woken");
        assert_eq!(first.what, EventKind::Notice(refused("open", 1)));
        let second = queue.wait(&mut cursor, limit).expect("woken when due");
        assert_eq!(second.what, EventKind::Notice(refused("open", 7)));
        assert!(clock.now() < Moment(0).after(limit / 2), "not by the end of the limit");
        publisher.join();
    }

    /// A clock that stands still does not make a wait endless.
    #[test]
    fn a_wait_ends_on_a_stopped_clock() {
        let (_, queue) = queue();
        queue.publish("m", GENERATION, draining(2));
        queue.publish("m", GENERATION, draining(1));
        let mut cursor = Cursor::after(1);
        assert_eq!(queue.wait(&mut cursor, Duration::from_millis(20)), None);
    }

    /// Listeners are told of what is numbered only, and may use the queue themselves.
    #[test]
    fn listeners_are_told_without_locks() {
        let (clock, queue) = queue();
        let queue = Arc::new(queue);
        let calls = Arc::new(AtomicUsize::new(0));
        let number = {
            let (weak, calls) = (Arc::downgrade(&queue), Arc::clone(&calls));
            queue.subscribe(Box::new(move || {
                assert_no_locks("a listener");
                assert!(weak.upgrade().expect("lives").last() > 0);
                calls.fetch_add(1, Ordering::SeqCst);
            }))
        }
        .expect("room");
        queue.publish("m", GENERATION, draining(2));
        queue.publish("m", GENERATION, draining(1));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        clock.advance(EVENTS_COALESCED_FOR);
        queue.tick();
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        queue.unsubscribe(number);
        queue.publish("m", GENERATION, Notice::Paused);
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        for _ in 0..EVENT_LISTENERS_MAX {
            queue.subscribe(Box::new(|| ())).expect("room");
        }
        assert_eq!(queue.subscribe(Box::new(|| ())), None);
    }

    fn any_notice() -> impl Strategy<Value = Notice> {
        prop_oneof![
            8 => Just(Notice::Paused),
            2 => Just(loss()),
            2 => (1..9_u64).prop_map(stopped),
            2 => (1..9_u64).prop_map(draining),
            2 => (1..3_u64).prop_map(|count| refused("open", count)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// What a reader saw and what it was told lost are together all numbers, once, in order;
        /// and refusals are told completely. `burst` is how often each notice is repeated.
        #[test]
        fn a_reader_accounts_for_every_number(
            steps in proptest::collection::vec((any_notice(), 1..900_usize, any::<bool>()), 1..40),
        ) {
            let (clock, queue) = queue();
            let mut cursor = Cursor::after(0);
            let mut next = 1;
            let mut told = 0;
            let mut asked = 0;
            let mut lost = false;
            let mut check = |event: Event| {
                let first = match event.what {
                    EventKind::Overflow { first_lost, last_lost, .. } => {
                        lost = true;
                        assert_eq!(event.seq, last_lost);
                        first_lost
                    }
                    EventKind::Notice(notice) => {
                        if let Notice::Refused { requests, .. } = notice {
                            told += requests;
                        }
                        event.seq
                    }
                };
                assert_eq!(first, next);
                next = event.seq + 1;
            };
            for (notice, burst, reads) in steps {
                for _ in 0..burst {
                    if let Notice::Refused { requests, .. } = notice {
                        asked += requests;
                    }
                    queue.publish("m", GENERATION, notice.clone());
                    clock.advance(Duration::from_millis(3));
                }
                while reads && let Some(event) = queue.read(&mut cursor) {
                    check(event);
                }
            }
            clock.advance(EVENTS_COALESCED_FOR);
            queue.tick();
            while let Some(event) = queue.read(&mut cursor) {
                check(event);
            }
            prop_assert_eq!(next, queue.last() + 1);
            prop_assert!(lost || told == asked, "{} of {} refusals told", told, asked);
        }
    }
}
