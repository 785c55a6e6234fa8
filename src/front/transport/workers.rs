//! The threads that serve a connection, each with a fuser session of its own on the same
//! descriptor.
//!
//! One session with n threads would hide a dead thread until the last has ended (fuse.md 1.9); n
//! sessions with one thread each make every death visible at once, and each is replaced and
//! counted.
//!
//! Taking the connection away at a request boundary ([`Workers::detach`]):
//!
//! ```text
//!  close the door      new requests are left unanswered; the kernel keeps them
//!  wait until empty    those inside are answered as ever
//!  redirect the seats  every worker's next read() ends its loop
//!  wake the sleepers   a statfs for each worker that waits in a read() on the connection
//!  join                the descriptor is ours again, alive
//! ```

use crate::base::clock::Clock;
use crate::base::limits::FUSE_WORKERS_REPLACED_MAX;
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::base::threads::{self, Thread};
use crate::front::error::FrontError;
use crate::front::transport::abi::Notification;
use crate::front::transport::device;
use crate::front::transport::door::Door;
use crate::front::transport::handshake::{Agreement, packet_pair, seat};
use crate::front::transport::redirect::Seat;
use fuser::{Filesystem, Session};
use rustix::net::{Shutdown, shutdown};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How a connection's service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The kernel is gone: unmounted or aborted, by whomever.
    KernelGone,
    /// Every worker died and could not be replaced; the connection lives and nobody serves it.
    WorkersLost,
}

/// Called once, by the last worker out, unless the connection was detached. Must not join workers.
pub type OnEnd = Box<dyn FnOnce(Ended) + Send>;

/// What the workers of one connection share.
struct Line {
    device: OwnedFd,
    agreement: Agreement,
    door: Arc<Door>,
    /// By worker; `None` once it has left.
    seats: Mutex<Vec<Option<Seat>>>,
    replaced: AtomicU64,
    running: Mutex<Running>,
    changed: Condvar,
}

struct Running {
    workers: usize,
    on_end: Option<OnEnd>,
}

/// The workers.
pub struct Workers {
    line: Arc<Line>,
    /// Hand the workers their sessions. Dropped unused, the workers end without having served: so
    /// it goes before `threads`, which are joined.
    starters: Vec<Box<dyn FnOnce() + Send>>,
    threads: Vec<Thread>,
}

impl Workers {
    /// Makes `count` workers for an initialised connection, ready to [`go`](Self::go).
    ///
    /// # Errors
    /// [`FrontError::Start`]; the connection is unharmed.
    pub fn prepare<F: Filesystem + Clone>(
        device: OwnedFd,
        agreement: Agreement,
        door: Arc<Door>,
        filesystem: &F,
        count: usize,
        on_end: OnEnd,
    ) -> Result<Self, FrontError> {
        let line = Arc::new(Line {
            device,
            agreement,
            door,
            seats: Mutex::new(Rank::Leaf, Vec::new()),
            replaced: AtomicU64::new(0),
            running: Mutex::new(Rank::Leaf, Running { workers: 0, on_end: Some(on_end) }),
            changed: Condvar::new(),
        });
        let mut workers = Self { line, starters: Vec::new(), threads: Vec::new() };
        workers.fill(filesystem, count)?;
        Ok(workers)
    }

    /// Has the workers serve. Cannot fail: all that can was done before.
    pub fn go(&mut self) {
        // All are counted before the first runs: the last one out must know that it is.
        self.line.running.lock().workers += self.starters.len();
        for start in self.starters.drain(..) {
            start();
        }
    }

    /// Makes workers until `count` run or are ready to.
    fn fill<F: Filesystem + Clone>(
        &mut self,
        filesystem: &F,
        count: usize,
    ) -> Result<(), FrontError> {
        let missing = count.saturating_sub(self.running() + self.starters.len());
        for _ in 0..missing {
            let number = self.line.new_worker();
            let session =
                self.line.session(number, filesystem.clone()).map_err(FrontError::Start)?;
            let (line, filesystem) = (self.line.clone(), filesystem.clone());
            let (sender, receiver) = channel();
            let body = move || {
                if let Ok(session) = receiver.recv() {
                    line.work(number, session, &filesystem);
                }
            };
            let thread = threads::spawn(&format!("fuse-{number}"), body);
            self.threads.push(thread.map_err(FrontError::Start)?);
            // The receiver lives as long as its thread waits.
            self.starters.push(Box::new(move || drop(sender.send(session))));
        }
        Ok(())
    }

    /// Workers that run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.line.running.lock().workers
    }

    /// Workers that died and were replaced.
    #[must_use]
    pub fn replaced(&self) -> u64 {
        self.line.replaced.load(Ordering::Relaxed)
    }

    /// [`replaced`](Self::replaced), without keeping the connection alive.
    pub fn replaced_counter(&self) -> impl Fn() -> u64 + Send + Sync + use<> {
        let line = Arc::downgrade(&self.line);
        move || line.upgrade().map_or(0, |line| line.replaced.load(Ordering::Relaxed))
    }

    /// What was agreed on in INIT.
    #[must_use]
    pub fn agreement(&self) -> Agreement {
        self.line.agreement
    }

    /// Our own descriptor of the connection.
    #[must_use]
    pub fn device(&self) -> BorrowedFd<'_> {
        self.line.device.as_fd()
    }

    /// Waits until no worker runs; false when `limit` passed first.
    #[must_use]
    pub fn wait_ended(&self, clock: &dyn Clock, limit: Duration) -> bool {
        let end = clock.now().after(limit);
        let mut running = self.line.running.lock();
        while running.workers > 0 {
            let left = end.since(clock.now());
            if left.is_zero() {
                return false;
            }
            self.line.changed.wait_for(&mut running, left);
        }
        true
    }

    /// Waits for every worker to end, which they do when the kernel is gone.
    pub fn join(&mut self) {
        self.starters.clear();
        for thread in self.threads.drain(..) {
            thread.join();
        }
    }

    /// Gives up on workers that do not end.
    pub fn abandon(&mut self) {
        for thread in self.threads.drain(..) {
            if thread.is_finished() { thread.join() } else { thread.abandon() }
        }
    }

    /// Stops serving between two requests and hands back the live descriptor. `quiesce` is called
    /// when no request is inside, to leave alone what waits elsewhere for its reply.
    /// `mount_point` is used to wake workers that wait for a request. Requests that come from now
    /// on wait in the kernel; the successor asks for those we read and did not answer with
    /// [`resend`].
    ///
    /// # Errors
    /// [`FrontError::Detach`], and the workers serve as before: requests did not end or workers
    /// could not be woken within `limit`.
    pub fn detach<F: Filesystem + Clone>(
        &mut self,
        filesystem: &F,
        quiesce: impl Fn(),
        mount_point: &Path,
        clock: &dyn Clock,
        limit: Duration,
    ) -> Result<OwnedFd, FrontError> {
        let count = self.running();
        match self.try_detach(quiesce, mount_point, clock, limit) {
            Ok(device) => {
                self.join();
                Ok(device)
            }
            Err(reason) => {
                let words = match self.restore(filesystem, count) {
                    Ok(()) => reason,
                    Err(error) => format!("{reason}; and then: {error}"),
                };
                Err(FrontError::Detach(words))
            }
        }
    }

    fn try_detach(
        &mut self,
        quiesce: impl Fn(),
        mount_point: &Path,
        clock: &dyn Clock,
        limit: Duration,
    ) -> Result<OwnedFd, String> {
        if !self.line.agreement.can_resend {
            return Err("this kernel cannot send requests again (Linux 6.9 can)".to_owned());
        }
        let spare = device::duplicate(self.device()).map_err(|errno| errno.to_string())?;
        // Kept to the end: a closed peer would make fuser's late writes fail loudly.
        let (dead, _peer) = dead_socket().map_err(|errno| errno.to_string())?;
        let end = clock.now().after(limit);
        self.line.door.close();
        if !self.line.door.wait_empty(clock, limit) {
            let inside = self.line.door.inside();
            return Err(format!("{inside} requests did not end in time"));
        }
        quiesce();
        self.line.door.readers.close();
        self.line.redirect_all(dead.as_fd()).map_err(|errno| errno.to_string())?;
        let sleepers = self.running();
        let wakers =
            wake(&self.line.door, mount_point, sleepers).map_err(|error| error.to_string())?;
        let awake = self.wait_ended(clock, end.since(clock.now()));
        wakers.into_iter().for_each(|waker| waker.end(&self.line.door));
        if !awake {
            return Err(format!("{} workers did not wake in time", self.running()));
        }
        Ok(spare)
    }

    /// Takes a failed detach back.
    fn restore<F: Filesystem + Clone>(
        &mut self,
        filesystem: &F,
        count: usize,
    ) -> Result<(), FrontError> {
        let redirected = self.line.redirect_all(self.line.device.as_fd());
        self.line.door.readers.open();
        self.line.door.open();
        redirected.map_err(|errno| FrontError::Start(errno.into()))?;
        self.fill(filesystem, count)?;
        self.go();
        resend(self.device()).map_err(|errno| FrontError::Start(errno.into()))
    }
}

/// Asks the kernel for every request that was read and not answered.
///
/// # Errors
/// EINVAL before Linux 6.9; ENOTCONN when the kernel is gone.
pub fn resend(device: BorrowedFd<'_>) -> rustix::io::Result<()> {
    device::notify(device, &Notification::Resend)
}

impl Line {
    /// A number for a worker that is to come.
    fn new_worker(&self) -> usize {
        let mut seats = self.seats.lock();
        seats.push(None);
        seats.len() - 1
    }

    fn session<F: Filesystem>(&self, worker: usize, filesystem: F) -> std::io::Result<Session<F>> {
        let (session, seat) = seat(self.device.as_fd(), &self.agreement, filesystem)?;
        self.take_seat(worker, Some(seat));
        Ok(session)
    }

    fn take_seat(&self, worker: usize, seat: Option<Seat>) {
        let left = self.seats.lock().get_mut(worker).and_then(|old| std::mem::replace(old, seat));
        drop(left);
    }

    fn redirect_all(&self, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
        self.seats.lock().iter().flatten().try_for_each(|seat| seat.redirect(to))
    }

    /// One worker's life: sessions, until the connection ends or is detached.
    fn work<F: Filesystem + Clone>(&self, worker: usize, first: Session<F>, filesystem: &F) {
        let mut session = first;
        loop {
            let ended = session.run();
            if self.door.is_closed() || !device::is_connected(self.device.as_fd()) {
                break;
            }
            let replaced = self.replaced.fetch_add(1, Ordering::Relaxed);
            log::error!("a FUSE worker died ({ended:?}) on a living connection: replacing it");
            if replaced >= FUSE_WORKERS_REPLACED_MAX {
                log::error!("{replaced} workers were replaced already: this one is not");
                break;
            }
            match self.session(worker, filesystem.clone()) {
                Ok(fresh) => session = fresh,
                Err(error) => {
                    log::error!("a FUSE worker cannot be replaced: {error}");
                    break;
                }
            }
        }
        self.door.readers.left();
        self.take_seat(worker, None);
        self.leave();
    }

    fn leave(&self) {
        let mut running = self.running.lock();
        running.workers -= 1;
        let last = running.workers == 0 && !self.door.is_closed();
        let on_end = if last { running.on_end.take() } else { None };
        drop(running);
        self.changed.notify_all();
        if let Some(on_end) = on_end {
            let gone = !device::is_connected(self.device.as_fd());
            on_end(if gone { Ended::KernelGone } else { Ended::WorkersLost });
        }
    }
}

/// A socket that reads as "end of file", and its peer, which swallows what is written to it.
fn dead_socket() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let (dead, peer) = packet_pair()?;
    shutdown(&peer, Shutdown::Write)?;
    Ok((dead, peer))
}

/// A thread of ours that wakes a worker.
struct Waker {
    thread: Thread,
    number: Receiver<u32>,
}

impl Waker {
    /// Joins it if it has been answered. It has not where the kernel does not tell whose request
    /// it is (another pid namespace): then it is left to the successor, who waits for us.
    fn end(self, door: &Door) {
        match self.number.recv() {
            Ok(number) if door.is_waker(number) => self.thread.abandon(),
            _ => self.thread.join(),
        }
    }
}

/// Sends the connection one harmless request for each sleeping worker; the door answers it.
fn wake(door: &Arc<Door>, mount_point: &Path, sleepers: usize) -> std::io::Result<Vec<Waker>> {
    let wakers = (0..sleepers).map(|_| {
        let (door, path) = (door.clone(), mount_point.to_owned());
        let (sender, number) = channel();
        let thread = threads::spawn("fuse-wake", move || {
            // Whoever waits for us keeps the receiver.
            let _ = sender.send(door.add_waker());
            let _ = rustix::fs::statfs(&path);
        })?;
        Ok(Waker { thread, number })
    });
    wakers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::SystemClock;
    use crate::front::transport::handshake::{Wishes, shake_hands};
    use fuser::{FileAttr, FileType, INodeNo, ReplyAttr, ReplyStatfs, Request};
    use rustix::fs::{Mode, OFlags};
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    use std::os::fd::AsRawFd;
    use std::path::PathBuf;
    use std::time::SystemTime;

    const LIMIT: Duration = Duration::from_secs(20);

    /// A root that can be looked at, and whose every `statfs` is the end of the thread that takes
    /// it. No handler of the front's lets a panic out; what fuser does before and after it might.
    #[derive(Clone)]
    struct Poisoned;

    impl Filesystem for Poisoned {
        fn getattr(
            &self,
            _request: &Request,
            number: INodeNo,
            _handle: Option<fuser::FileHandle>,
            reply: ReplyAttr,
        ) {
            let never = SystemTime::UNIX_EPOCH;
            let root = FileAttr {
                ino: number,
                size: 0,
                blocks: 0,
                atime: never,
                mtime: never,
                ctime: never,
                crtime: never,
                kind: FileType::Directory,
                perm: 0o755,
                nlink: 2,
                uid: 0,
                gid: 0,
                rdev: 0,
                blksize: 4096,
                flags: 0,
            };
            reply.attr(&Duration::ZERO, &root);
        }

        fn statfs(&self, _request: &Request, _number: INodeNo, _reply: ReplyStatfs) {
            panic!("poison");
        }
    }

    /// Asks the mount on a thread of its own: one that hangs must not hang the test.
    fn ask<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, answer) = channel();
        let asking = threads::spawn("t-ask", move || sender.send(ask()).expect("it is waited for"));
        let answer = answer.recv_timeout(LIMIT).expect("answered in time");
        asking.expect("room").join();
        answer
    }

    /// Its caller gets an error, the others do not notice, and the mount is served as before.
    #[test]
    fn a_dead_worker_is_replaced() {
        if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            println!("skipped: needs root and /dev/fuse");
            return;
        }
        let place = tempfile::tempdir().expect("/tmp has room");
        let path: PathBuf = place.path().to_owned();
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let device = rustix::fs::open("/dev/fuse", flags, Mode::empty()).expect("root may");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let options = std::ffi::CString::new(options).expect("no NUL");
        mount("poisoned", &path, "fuse", MountFlags::empty(), Some(options.as_c_str()))
            .expect("root may");
        let agreement = shake_hands(device.as_fd(), Wishes::default()).expect("agreed");
        let door = Door::new(device::duplicate(device.as_fd()).expect("room"));
        let (ended, end) = channel();
        let tell = Box::new(move |how| ended.send(how).expect("the test waits"));
        let mut workers =
            Workers::prepare(device, agreement, door, &Poisoned, 3, tell).expect("prepared");
        workers.go();
        let clock = SystemClock::new();
        for dead in 1..=6 {
            let at = path.clone();
            assert!(ask(move || rustix::fs::statfs(&at).is_err()), "nobody answers it");
            let until = clock.now().after(LIMIT);
            while workers.replaced() != dead {
                assert!(clock.now() < until, "it is replaced");
                std::thread::yield_now();
            }
            let at = path.clone();
            let mode = ask(move || rustix::fs::stat(&at).map(|stat| stat.st_mode & 0o7777));
            assert_eq!(mode, Ok(0o755), "after {dead}");
        }
        assert_eq!(workers.running(), 3);
        unmount(&path, UnmountFlags::empty()).expect("nobody is inside");
        assert!(workers.wait_ended(&clock, LIMIT));
        assert_eq!(end.recv_timeout(LIMIT), Ok(Ended::KernelGone));
        workers.join();
    }
}
