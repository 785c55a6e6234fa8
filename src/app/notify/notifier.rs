//! The one thread that speaks to the service manager: `sd-notify`.
//!
//! Whoever has news leaves word and goes on: a flag, no queue. The thread looks how things are,
//! and says what the manager does not know. Events wake it; numbers, of which there are no events,
//! it looks at every second. No lock of ours is held while it looks or sends, and no other thread
//! ever waits for it but the one that ends it, for two sends at most.

use crate::app::notify::NotifyConfig;
use crate::app::notify::socket::{NotifyError, NotifySocket};
use crate::app::notify::words::{Facts, Phase, Speaker, View};
use crate::base::clock::{Clock, monotonic_microseconds};
use crate::base::limits::{NOTIFY_GAP, NOTIFY_NUMBERS_EVERY, NOTIFY_SEND_WAIT, STOP_OVERRUN};
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::base::threads::{self, Thread};
use crate::mgmt::events::EventQueue;
use std::sync::Arc;
use std::time::Duration;

/// How often the last words are tried: each may be a turn of the service, or wait for room.
const LAST_WORDS_MAX: usize = 4;
const _: () = assert!(NOTIFY_SEND_WAIT.as_millis() * 2 <= 1000, "an end waits for two sends");

/// What the thread is to know.
#[derive(Clone, Debug)]
struct Orders {
    phase: Phase,
    reloads_begun: u64,
    reloads_done: u64,
    alive: bool,
    news: bool,
}

#[derive(Debug)]
struct Shared {
    orders: Mutex<Orders>,
    changed: Condvar,
}

impl Shared {
    fn order(&self, change: impl FnOnce(&mut Orders)) {
        {
            let mut orders = self.orders.lock();
            change(&mut orders);
            orders.news = true;
        }
        self.changed.notify_all();
    }

    /// Sleeps until there is news, or up to `limit`; but for `least`, unless it is the end.
    fn wait(&self, clock: &dyn Clock, least: Duration, limit: Duration) -> Orders {
        let began = clock.now();
        let mut orders = self.orders.lock();
        loop {
            let passed = clock.now().since(began);
            let until = if orders.news { least } else { limit };
            if passed >= until || matches!(orders.phase, Phase::Over(_)) {
                let taken = orders.clone();
                (orders.news, orders.alive) = (false, false);
                return taken;
            }
            self.changed.wait_for(&mut orders, until.saturating_sub(passed));
        }
    }
}

/// Tells the service manager how things are; tells nobody where there is none.
#[derive(Debug)]
pub(in crate::app) struct Notifier {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    thread: Mutex<Option<Thread>>,
}

impl Notifier {
    /// Starts the thread, if there is a manager. `look` says how the host is; it must not block. An
    /// address that is none, and a thread that cannot be had, are warned of: a mount is worth more
    /// than the word about it.
    pub fn start(
        config: Option<&NotifyConfig>,
        clock: Arc<dyn Clock>,
        events: &EventQueue,
        look: impl Fn() -> View + Send + 'static,
    ) -> Self {
        let orders = Orders {
            phase: Phase::Starting,
            reloads_begun: 0,
            reloads_done: 0,
            alive: false,
            news: true,
        };
        let orders = Mutex::new(Rank::Leaf, orders);
        let shared = Arc::new(Shared { orders, changed: Condvar::new() });
        let thread = config.and_then(|config| {
            let socket = NotifySocket::open(&config.address);
            let voice = Voice {
                shared: shared.clone(),
                socket,
                speaker: Speaker::new(config.handed_over),
                clock: clock.clone(),
                complained: false,
            };
            let spawned = threads::spawn("sd-notify", move || voice.run(look));
            spawned.inspect_err(|error| log::warn!("the service manager is not told: {error}")).ok()
        });
        if thread.is_some() {
            let woken = shared.clone();
            // Without it the thread looks every second all the same.
            let _ = events.subscribe(Box::new(move || woken.order(|_| ())));
        }
        Self { shared, clock, thread: Mutex::new(Rank::Host, thread) }
    }

    /// The mount answers.
    pub fn serving(&self) {
        self.shared.order(|orders| orders.phase = Phase::Serving);
    }

    /// Does what a reload is, and has the manager know that it began and ended.
    pub fn reload(&self, work: impl FnOnce()) {
        self.shared.order(|orders| orders.reloads_begun += 1);
        work();
        self.shared.order(|orders| orders.reloads_done += 1);
    }

    /// The control plane has just answered.
    pub fn alive(&self) {
        self.shared.order(|orders| orders.alive = true);
    }

    /// The process is going, and nothing takes that back; what it still owes is bounded by `limit`.
    pub fn ending(&self, limit: Duration) {
        let by = self.clock.now().after(limit).after(STOP_OVERRUN);
        self.shared.order(|orders| orders.phase = Phase::Ending(by));
    }

    /// Says the last word, and ends the thread.
    pub fn end(&self, words: &str) {
        self.shared.order(|orders| orders.phase = Phase::Over(words.to_owned()));
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            thread.join();
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        // A host that unwinds says no last word but ends its thread.
        self.end("");
    }
}

/// The thread's own.
struct Voice {
    shared: Arc<Shared>,
    socket: Result<NotifySocket, NotifyError>,
    speaker: Speaker,
    clock: Arc<dyn Clock>,
    complained: bool,
}

impl Voice {
    fn run(mut self, look: impl Fn() -> View) {
        let mut spoke = false;
        loop {
            let numbers = self.speaker.next_numbers(self.clock.now());
            let (least, limit) = match spoke {
                // There may be more to say than fits one message.
                true => (NOTIFY_GAP, NOTIFY_GAP),
                // What it saw too early is told in time.
                false if !numbers.is_zero() => (Duration::ZERO, numbers),
                false => (Duration::ZERO, NOTIFY_NUMBERS_EVERY),
            };
            let orders = self.shared.wait(&*self.clock, least, limit);
            if matches!(orders.phase, Phase::Over(_)) {
                let view = look();
                let mut fails = 0;
                for _ in 0..LAST_WORDS_MAX {
                    match self.say(&orders, &view) {
                        Some(true) => {}
                        Some(false) if fails == 0 => fails += 1,
                        Some(false) | None => break,
                    }
                }
                return;
            }
            spoke = self.say(&orders, &look()) == Some(true);
        }
    }

    /// Says what there is to say; did it get through?
    fn say(&mut self, orders: &Orders, view: &View) -> Option<bool> {
        let facts = Facts {
            view,
            phase: &orders.phase,
            reloads_begun: orders.reloads_begun,
            reloads_done: orders.reloads_done,
            monotonic_usec: monotonic_microseconds(),
            alive: orders.alive,
            wall: self.clock.wall(),
        };
        let now = self.clock.now();
        let message = self.speaker.next(now, &facts)?;
        let failed = match &self.socket {
            Ok(socket) => socket.send(&message.text()).err(),
            Err(error) => {
                complain(&mut self.complained, &orders.phase, error);
                return Some(false);
            }
        };
        match failed {
            None => {
                self.speaker.sent(now, message);
                Some(true)
            }
            Some(error) => {
                complain(&mut self.complained, &orders.phase, &error);
                Some(false)
            }
        }
    }
}

/// Warns, once. Not before the mount answers: one that fails has one line to say, and that is not
/// it. A manager that does not read just now is told later.
fn complain(complained: &mut bool, phase: &Phase, error: &NotifyError) {
    if error.is_full() {
        log::debug!("{error}");
    } else if matches!(phase, Phase::Serving | Phase::Ending(_)) && !*complained {
        *complained = true;
        log::warn!("{error}; the service manager is not told how this mount is");
    }
}

#[cfg(test)]
mod tests;
