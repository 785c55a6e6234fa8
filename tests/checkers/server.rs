//! The server of the shuttle models: it notices who calls it when, and through which open. And the
//! kernel in front of it, which caches nothing.

use super::World;
use minirdr::base::ids::NodeNumber;
use minirdr::base::name::Name;
use minirdr::base::status::Status;
use minirdr::base::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use minirdr::base::sync::{Condvar, Mutex, Rank};
use minirdr::mrx::calldown::{Capabilities, MiniRedirector};
use minirdr::mrx::low_io::{LowIo, Submission};
use minirdr::mrx::request::*;
use minirdr::mrx::upcall::{RequestContext, Upcalls};
use minirdr::rdbss::notice::{DeregisterError, FileSystemRegistration, KernelCache};
use std::sync::Arc;
use std::time::Duration;

/// One generation's server.
pub struct Server {
    world: Arc<World>,
    up: AtomicBool,
    stopping: AtomicBool,
    stopped: AtomicBool,
    inside: AtomicUsize,
}

impl Server {
    pub fn new(world: Arc<World>) -> Self {
        Self {
            world,
            up: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
        }
    }

    /// A callout that must find the server up, and never meet its stop.
    fn inside<T>(&self, callout: &str, body: impl FnOnce() -> T) -> T {
        if self.world.manners.abandoned {
            return body();
        }
        self.inside.fetch_add(1, Ordering::SeqCst);
        if !self.up.load(Ordering::SeqCst) {
            self.world.wrong(format!("{callout} while the server is down"));
        }
        self.not_stopping(callout);
        let result = body();
        self.not_stopping(callout);
        self.inside.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn not_stopping(&self, callout: &str) {
        if self.stopping.load(Ordering::SeqCst) {
            self.world.wrong(format!("{callout} beside MRxStop"));
        }
    }

    fn nobody_inside(&self) {
        let inside = self.inside.load(Ordering::SeqCst);
        if inside > 0 {
            self.world.wrong(format!("MRxStop with {inside} inside"));
        }
    }

    fn found(&self, number: u64, kind: FileKind) -> Found {
        let generation = match self.world.manners.files_change && kind == FileKind::Regular {
            true => self.world.lookups.fetch_add(1, Ordering::SeqCst),
            false => 0,
        };
        let attributes = Attributes {
            kind,
            permissions: 0o755,
            links: 1,
            uid: 0,
            gid: 0,
            device: 0,
            size: 0,
            blocks: 0,
            block_size: 4096,
            accessed: Timestamp::default(),
            modified: Timestamp::default(),
            changed: Timestamp::default(),
            created: Timestamp::default(),
            leased: false,
        };
        let identity = FileIdentity { number, generation };
        Found { identity, attributes, extension: Arc::new(()) }
    }
}

/// Waits until the request is cancelled.
fn wait_cancelled(context: &dyn RequestContext) -> Status {
    let told = Arc::new((Mutex::new(Rank::Redirector, false), Condvar::new()));
    let teller = told.clone();
    let routine = move || {
        *teller.0.lock() = true;
        teller.1.notify_all();
    };
    if let Err(status) = context.set_cancel_routine(Box::new(routine)) {
        return status;
    }
    let mut cancelled = told.0.lock();
    while !*cancelled {
        told.1.wait(&mut cancelled);
    }
    Status::Cancelled
}

/// The server's half of an open.
struct ServerOpen {
    closed: std::sync::atomic::AtomicBool,
    changes_before: usize,
}

/// The server's half of an open that is to be there still.
fn standing<'a>(world: &World, callout: &str, open: OpenRef<'a>) -> Option<&'a ServerOpen> {
    let found = open.extension.downcast_ref::<ServerOpen>();
    match found {
        Some(open) if open.closed.load(Ordering::SeqCst) => {
            world.wrong(format!("{callout} through an open that is closed"));
        }
        Some(_) => {}
        None => world.wrong(format!("{callout} through what was never opened")),
    }
    found
}

/// A kernel that caches nothing.
pub struct Uncached;

impl KernelCache for Uncached {
    fn flush_file(&self, _: NodeNumber) {}
    fn forget_names(&self) {}
    fn settle(&self, _: Duration) -> bool {
        true
    }
}

impl FileSystemRegistration for Uncached {
    fn deregister(&self, _: bool) -> Result<bool, DeregisterError> {
        Ok(false)
    }

    fn has_ended(&self) -> bool {
        true
    }
}

impl MiniRedirector for Server {
    fn name(&self) -> &'static str {
        "server"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            blocking: self.world.manners.blocking,
            daemon_rights: true,
            delayed_closes_max: self.world.manners.closes_wait,
            ..Capabilities::default()
        }
    }

    fn start(&self, context: &dyn RequestContext, up: Arc<dyn Upcalls>) -> Result<(), Status> {
        self.world.starts.fetch_add(1, Ordering::SeqCst);
        if self.world.manners.start_fails {
            return Err(Status::Unsuccessful);
        }
        if self.world.manners.start_waits && self.world.starts.load(Ordering::SeqCst) > 1 {
            return Err(wait_cancelled(context));
        }
        *self.world.upcalls.lock().expect("not poisoned") = Some(up);
        self.up.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn stop(&self, _: &dyn RequestContext) -> Result<(), Status> {
        self.stopping.store(true, Ordering::SeqCst);
        self.nobody_inside();
        if self.stopped.swap(true, Ordering::SeqCst) {
            self.world.wrong("MRxStop twice");
        }
        self.nobody_inside();
        self.up.store(false, Ordering::SeqCst);
        self.stopping.store(false, Ordering::SeqCst);
        self.world.stops.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn create_v_net_root(
        &self,
        _: &dyn RequestContext,
        _: &Extension,
    ) -> Result<(Extension, Found), Status> {
        Ok((Arc::new(()), self.found(2, FileKind::Directory)))
    }

    fn lookup(&self, _: &dyn RequestContext, _: FileRef<'_>, name: &Name) -> Result<Found, Status> {
        self.inside("lookup", || {
            let number = 100 + u64::from(name.as_bytes()[0]);
            Ok(self.found(number, FileKind::Regular))
        })
    }

    fn open(
        &self,
        _: &dyn RequestContext,
        _: FileRef<'_>,
        _: OpenOptions,
    ) -> Result<Opened, Status> {
        self.inside("open", || {
            self.world.opened.fetch_add(1, Ordering::SeqCst);
            let changes_before = self.world.changes.load(Ordering::SeqCst);
            let extension = Arc::new(ServerOpen { closed: false.into(), changes_before });
            Ok(Opened { extension, buffering: Buffering::default() })
        })
    }

    fn should_try_to_collapse_this_open(&self, open: OpenRef<'_>) -> bool {
        standing(&self.world, "should_try_to_collapse", open);
        true
    }

    fn collapse_open(
        &self,
        _: &dyn RequestContext,
        open: OpenRef<'_>,
    ) -> Result<Option<Buffering>, Status> {
        self.inside("collapse", || {
            let changes = self.world.changes.load(Ordering::SeqCst);
            if standing(&self.world, "collapse", open).is_some_and(|o| o.changes_before < changes) {
                self.world.wrong("an open from before a change is shared after it");
            }
            Ok(None)
        })
    }

    fn unlink(&self, _: &dyn RequestContext, _: FileRef<'_>, _: &Name) -> Result<(), Status> {
        self.inside("unlink", || Ok(()))
    }

    fn set_file_information(
        &self,
        _: &dyn RequestContext,
        file: FileRef<'_>,
        _: Option<OpenRef<'_>>,
        _: SetAttributes,
    ) -> Result<Attributes, Status> {
        self.inside("set", || {
            self.world.changes.fetch_add(1, Ordering::SeqCst);
            Ok(self.found(file.identity.number, FileKind::Regular).attributes)
        })
    }

    fn reclaim_open(
        &self,
        context: &dyn RequestContext,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        self.open(context, file, options)
    }

    fn read(
        &self,
        context: &dyn RequestContext,
        open: OpenRef<'_>,
        _: u64,
        size: usize,
        _: Vec<u8>,
        _: Submission<'_, Vec<u8>>,
    ) -> LowIo<Vec<u8>> {
        LowIo::Done(self.inside("read", || {
            standing(&self.world, "read", open);
            if self.world.manners.reads_wait {
                return Err(wait_cancelled(context));
            }
            while self.world.manners.reads_poll {
                if context.is_cancelled() {
                    return Err(Status::Cancelled);
                }
                shuttle::thread::yield_now();
            }
            Ok(vec![0; size])
        }))
    }

    fn cleanup(&self, _: &dyn RequestContext, open: OpenRef<'_>) -> Result<(), Status> {
        self.not_stopping("cleanup");
        standing(&self.world, "cleanup", open);
        Ok(())
    }

    /// A survivor's may come when the server is down, never while it stops.
    fn close(&self, _: &dyn RequestContext, open: OpenRef<'_>) -> Result<(), Status> {
        self.inside.fetch_add(1, Ordering::SeqCst);
        self.not_stopping("close");
        match open.extension.downcast_ref::<ServerOpen>() {
            Some(open) if !open.closed.swap(true, Ordering::SeqCst) => {
                self.world.closed.fetch_add(1, Ordering::SeqCst);
            }
            Some(_) => self.world.wrong("closed twice"),
            None => self.world.wrong("closed what it never opened"),
        }
        self.not_stopping("close");
        self.inside.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }

    fn query_file_information(
        &self,
        _: &dyn RequestContext,
        file: FileRef<'_>,
        _: Option<OpenRef<'_>>,
    ) -> Result<Attributes, Status> {
        self.inside("query", || Ok(self.found(file.identity.number, FileKind::Regular).attributes))
    }

    fn query_volume_information(
        &self,
        _: &dyn RequestContext,
    ) -> Result<VolumeInformation, Status> {
        Ok(VolumeInformation::default())
    }
}
