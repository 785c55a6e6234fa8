//! A mini-redirector with nothing behind it: every name is a file of zeroes. Its reads, opens,
//! closes, starts and stops can be held, cancellably or not, so that a test decides when they
//! return.

use minirdr::base::ids::SerialNumber;
use minirdr::base::name::Name;
use minirdr::base::status::{Errno, Status};
use minirdr::base::stop::Loss;
use minirdr::mrx::calldown::{Capabilities, MiniRedirector};
use minirdr::mrx::low_io::{Completer, LowIo, Submission};
use minirdr::mrx::request::*;
use minirdr::mrx::upcall::{RequestContext, Upcalls};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What a held callout does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Waits; ends with `Cancelled` when its context is cancelled.
    Cancellably,
    /// Waits for [`Null::release`] whatever happens.
    Stubbornly,
    /// As `Stubbornly`, with a cancel routine that does not return either.
    StuckRoutine,
    /// Pends, cancellably (reads only).
    Pending,
    /// Pends until [`Null::release`] whatever happens (reads only).
    PendingStubbornly,
    /// Panics at once.
    Panic,
    /// Fails at once.
    Fail,
    /// Waits for [`Null::release`], and fails then.
    FailWhenReleased,
}

/// Benches call millions of times: only so many are remembered.
const CALLS_KEPT: usize = 10_000;

#[derive(Default)]
struct State {
    holds: HashMap<&'static str, Hold>,
    inside: HashMap<&'static str, usize>,
    calls: Vec<&'static str>,
    pending: HashMap<SerialNumber, Completer<Vec<u8>>>,
    upcalls: Option<Arc<dyn Upcalls>>,
}

/// The redirector; shared between generations.
#[derive(Default)]
pub struct Null {
    blocking: bool,
    /// Does it keep locks?
    pub locks: std::sync::atomic::AtomicBool,
    /// Are its opens shared, and their closes delayed? Asked at each start.
    pub sharing: std::sync::atomic::AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

impl Null {
    /// Callouts run inline.
    pub fn inline() -> Arc<Self> {
        Arc::default()
    }

    /// Callouts are posted.
    pub fn posted() -> Arc<Self> {
        Arc::new(Self { blocking: true, ..Self::default() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// From now on this callout is held.
    pub fn hold(&self, callout: &'static str, hold: Hold) {
        self.lock().holds.insert(callout, hold);
    }

    /// Nothing is held any more; what waits goes on, what pends completes.
    pub fn release(&self) {
        let pending = {
            let mut state = self.lock();
            state.holds.clear();
            std::mem::take(&mut state.pending)
        };
        self.changed.notify_all();
        for completer in pending.into_values() {
            completer.complete(Ok(vec![1]));
        }
    }

    /// One callout is not held any more.
    pub fn lock_release_only(&self, callout: &'static str) {
        self.lock().holds.remove(callout);
        self.changed.notify_all();
    }

    /// How many are inside a held callout.
    pub fn inside(&self, callout: &'static str) -> usize {
        *self.lock().inside.get(callout).unwrap_or(&0)
    }

    /// The server lost data that was acknowledged.
    pub fn lose(&self, path: &[u8], bytes: u64) {
        let upcalls = self.lock().upcalls.clone().expect("it was started");
        let error = "planted".to_owned();
        upcalls.report_loss(Loss { path: path.to_vec(), bytes, error, ..Loss::default() });
    }

    /// What a read costs without the core.
    pub fn bare_read(self: &Arc<Self>, size: usize) -> Vec<u8> {
        let _state = self.lock();
        vec![0; size]
    }

    /// The callouts made so far.
    pub fn calls(&self) -> Vec<&'static str> {
        self.lock().calls.clone()
    }

    pub fn pass(
        self: &Arc<Self>,
        context: &dyn RequestContext,
        callout: &'static str,
    ) -> Result<(), Status> {
        let hold = {
            let mut state = self.lock();
            if state.calls.len() < CALLS_KEPT {
                state.calls.push(callout);
            }
            state.holds.get(callout).copied()
        };
        match hold {
            None | Some(Hold::Pending | Hold::PendingStubbornly) => Ok(()),
            Some(Hold::Panic) => panic!("planted in {callout}"),
            Some(Hold::Fail) => Err(Status::Posix(Errno::EIO)),
            Some(
                hold @ (Hold::Cancellably
                | Hold::Stubbornly
                | Hold::StuckRoutine
                | Hold::FailWhenReleased),
            ) => {
                let this = self.clone();
                match hold {
                    Hold::Cancellably => {
                        let routine = move || this.changed.notify_all();
                        context.set_cancel_routine(Box::new(routine))?;
                    }
                    Hold::StuckRoutine => {
                        let routine = move || this.wait_released(callout);
                        context.set_cancel_routine(Box::new(routine))?;
                    }
                    _ => {}
                }
                self.wait_inside(context, callout, hold)
            }
        }
    }

    fn wait_released(&self, callout: &'static str) {
        let mut state = self.lock();
        while state.holds.contains_key(callout) {
            state = self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn wait_inside(
        &self,
        context: &dyn RequestContext,
        callout: &'static str,
        hold: Hold,
    ) -> Result<(), Status> {
        let mut state = self.lock();
        *state.inside.entry(callout).or_insert(0) += 1;
        let mut result = Ok(());
        while state.holds.contains_key(callout) {
            if hold == Hold::Cancellably && context.is_cancelled() {
                result = Err(Status::Cancelled);
                break;
            }
            // A wake-up between the test and the sleep is caught up by the bound.
            state = match self.changed.wait_timeout(state, Duration::from_millis(20)) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        *state.inside.entry(callout).or_insert(1) -= 1;
        if hold == Hold::FailWhenReleased { Err(Status::Posix(Errno::EIO)) } else { result }
    }

    fn attributes(kind: FileKind) -> Attributes {
        Attributes {
            kind,
            permissions: if kind == FileKind::Directory { 0o755 } else { 0o644 },
            links: 1,
            uid: 0,
            gid: 0,
            device: 0,
            size: 1 << 20,
            blocks: 0,
            block_size: 4096,
            accessed: Timestamp::default(),
            modified: Timestamp::default(),
            changed: Timestamp::default(),
            created: Timestamp::default(),
            leased: false,
        }
    }

    fn found(number: u64, kind: FileKind) -> Found {
        Found {
            identity: FileIdentity { number, generation: 0 },
            attributes: Self::attributes(kind),
            extension: Arc::new(()),
        }
    }
}

/// One generation's view of a shared [`Null`]: the trait wants `&self`, holding wants the `Arc`.
pub struct NullRedirector(pub Arc<Null>);

impl MiniRedirector for NullRedirector {
    fn name(&self) -> &'static str {
        "null"
    }

    fn capabilities(&self) -> Capabilities {
        let sharing = self.0.sharing.load(std::sync::atomic::Ordering::SeqCst);
        Capabilities {
            blocking: self.0.blocking,
            daemon_rights: true,
            delayed_closes_max: if sharing { 8 } else { 0 },
            ..Capabilities::default()
        }
    }

    fn start(&self, context: &dyn RequestContext, upcalls: Arc<dyn Upcalls>) -> Result<(), Status> {
        self.0.lock().upcalls = Some(upcalls);
        self.0.pass(context, "start")
    }

    fn stop(&self, context: &dyn RequestContext) -> Result<(), Status> {
        self.0.pass(context, "stop")
    }

    fn create_v_net_root(
        &self,
        context: &dyn RequestContext,
        _: &Extension,
    ) -> Result<(Extension, Found), Status> {
        self.0.pass(context, "create_v_net_root")?;
        Ok((Arc::new(()), Null::found(2, FileKind::Directory)))
    }

    fn lookup(
        &self,
        context: &dyn RequestContext,
        _: FileRef<'_>,
        name: &Name,
    ) -> Result<Found, Status> {
        self.0.pass(context, "lookup")?;
        let mut number = 1000_u64;
        for byte in name.as_bytes() {
            number = number.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
        Ok(Null::found(number | 0x100, FileKind::Regular))
    }

    fn open(
        &self,
        context: &dyn RequestContext,
        _: FileRef<'_>,
        _: OpenOptions,
    ) -> Result<Opened, Status> {
        self.0.pass(context, "open")?;
        Ok(Opened { extension: Arc::new(()), buffering: Buffering::default() })
    }

    fn should_try_to_collapse_this_open(&self, _: OpenRef<'_>) -> bool {
        true
    }

    fn reclaim_open(
        &self,
        context: &dyn RequestContext,
        _: FileRef<'_>,
        _: OpenOptions,
    ) -> Result<Opened, Status> {
        self.0.pass(context, "reclaim_open")?;
        Ok(Opened { extension: Arc::new(()), buffering: Buffering::default() })
    }

    fn close(&self, context: &dyn RequestContext, _: OpenRef<'_>) -> Result<(), Status> {
        self.0.pass(context, "close")
    }

    fn read(
        &self,
        context: &dyn RequestContext,
        _: OpenRef<'_>,
        _: u64,
        size: usize,
        mut buffer: Vec<u8>,
        submission: Submission<'_, Vec<u8>>,
    ) -> LowIo<Vec<u8>> {
        let hold = self.0.lock().holds.get("read").copied();
        if matches!(hold, Some(Hold::Pending | Hold::PendingStubbornly)) {
            let (this, serial) = (self.0.clone(), context.serial());
            let completer = submission.pend();
            self.0.lock().pending.insert(serial, completer);
            if hold == Some(Hold::PendingStubbornly) {
                return LowIo::Pending;
            }
            let cancelled = move || {
                let completer = this.lock().pending.remove(&serial);
                if let Some(completer) = completer {
                    completer.complete(Err(Status::Cancelled));
                }
            };
            if context.set_cancel_routine(Box::new(cancelled.clone())).is_err() {
                cancelled();
            }
            return LowIo::Pending;
        }
        LowIo::Done(self.0.pass(context, "read").map(|()| {
            buffer.resize(size, 0);
            buffer
        }))
    }

    fn write(
        &self,
        context: &dyn RequestContext,
        _: OpenRef<'_>,
        _: u64,
        data: &[u8],
        _: bool,
        _: Submission<'_, usize>,
    ) -> LowIo<usize> {
        LowIo::Done(self.0.pass(context, "write").map(|()| data.len()))
    }

    fn commit(
        &self,
        context: &dyn RequestContext,
        _: OpenRef<'_>,
        _: Submission<'_, ()>,
    ) -> LowIo<()> {
        LowIo::Done(self.0.pass(context, "commit"))
    }

    fn lock(
        &self,
        context: &dyn RequestContext,
        _: OpenRef<'_>,
        lock: Lock,
        _wait: bool,
        _: Submission<'_, ()>,
    ) -> LowIo<()> {
        if !self.0.locks.load(std::sync::atomic::Ordering::SeqCst) {
            return LowIo::Done(Err(Status::NotImplemented));
        }
        let callout = if lock.kind == LockKind::Unlock { "unlock" } else { "lock" };
        LowIo::Done(self.0.pass(context, callout))
    }

    fn query_file_information(
        &self,
        context: &dyn RequestContext,
        _: FileRef<'_>,
        _: Option<OpenRef<'_>>,
    ) -> Result<Attributes, Status> {
        self.0.pass(context, "query_file_information")?;
        Ok(Null::attributes(FileKind::Directory))
    }

    fn query_volume_information(
        &self,
        context: &dyn RequestContext,
    ) -> Result<VolumeInformation, Status> {
        self.0.pass(context, "query_volume_information")?;
        Ok(VolumeInformation { blocks: 7, ..VolumeInformation::default() })
    }
}
