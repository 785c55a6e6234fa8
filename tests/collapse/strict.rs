//! A server as strict as a Windows one: an open file cannot be removed, replaced or opened for
//! writing there.

use crate::common::null::Null;
use minirdr::base::name::Name;
use minirdr::base::status::{Errno, Status};
use minirdr::mrx::calldown::{Capabilities, MiniRedirector};
use minirdr::mrx::low_io::{LowIo, Submission};
use minirdr::mrx::request::*;
use minirdr::mrx::upcall::{RequestContext, Upcalls};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What the server has, over all generations.
#[derive(Default)]
pub struct Files {
    pub names: BTreeMap<Vec<u8>, u64>,
    /// How often each file is open, by the way it is open.
    pub open: BTreeMap<(u64, bool), usize>,
    pub calls: Vec<String>,
    next: u64,
    pub upcalls: Option<Arc<dyn Upcalls>>,
}

/// The server: names in one directory, sharing rules, a table of opens.
#[derive(Default)]
pub struct Strict {
    files: Mutex<Files>,
    pub null: Arc<Null>,
    pub daemon_rights: AtomicBool,
    delayed_closes_max: AtomicU64,
    pub unwilling: AtomicBool,
}

impl Strict {
    pub fn new(delayed_closes_max: u64) -> Arc<Self> {
        let strict = Self::default();
        strict.daemon_rights.store(true, Ordering::SeqCst);
        strict.delayed_closes_max.store(delayed_closes_max, Ordering::SeqCst);
        let mut files = strict.files.lock().expect("not poisoned");
        files.next = 100;
        for name in ["f", "g", "h", "i"] {
            files.next += 1;
            let number = files.next;
            files.names.insert(name.into(), number);
        }
        drop(files);
        Arc::new(strict)
    }

    pub fn lock(&self) -> std::sync::MutexGuard<'_, Files> {
        self.files.lock().expect("not poisoned")
    }

    pub fn called(&self, what: impl Into<String>) {
        self.lock().calls.push(what.into());
    }

    pub fn count(&self, what: &str) -> usize {
        self.lock().calls.iter().filter(|call| call.starts_with(what)).count()
    }

    pub fn open_files(&self) -> usize {
        self.lock().open.values().sum()
    }

    fn is_open(files: &Files, number: u64) -> bool {
        files.open.iter().any(|(&(file, _), &opens)| file == number && opens > 0)
    }

    fn found(number: u64, kind: FileKind) -> Found {
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
        let identity = FileIdentity { number, generation: 0 };
        Found { identity, attributes, extension: Arc::new(()) }
    }
}

pub struct Redirector(pub Arc<Strict>);

impl MiniRedirector for Redirector {
    fn name(&self) -> &'static str {
        "strict"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            daemon_rights: self.0.daemon_rights.load(Ordering::SeqCst),
            delayed_closes_max: self.0.delayed_closes_max.load(Ordering::SeqCst) as usize,
            ..Capabilities::default()
        }
    }

    fn start(&self, _: &dyn RequestContext, upcalls: Arc<dyn Upcalls>) -> Result<(), Status> {
        self.0.lock().upcalls = Some(upcalls);
        Ok(())
    }

    fn stop(&self, _: &dyn RequestContext) -> Result<(), Status> {
        self.0.called("stop");
        Ok(())
    }

    fn create_v_net_root(
        &self,
        _: &dyn RequestContext,
        _: &Extension,
    ) -> Result<(Extension, Found), Status> {
        Ok((Arc::new(()), Strict::found(2, FileKind::Directory)))
    }

    fn lookup(&self, _: &dyn RequestContext, _: FileRef<'_>, name: &Name) -> Result<Found, Status> {
        let number = self.0.lock().names.get(name.as_bytes()).copied();
        number.map(|number| Strict::found(number, FileKind::Regular)).ok_or(Errno::ENOENT.into())
    }

    fn unlink(&self, _: &dyn RequestContext, _: FileRef<'_>, name: &Name) -> Result<(), Status> {
        self.0.called("unlink");
        let mut files = self.0.lock();
        let number = files.names.get(name.as_bytes()).copied().ok_or(Errno::ENOENT)?;
        if Strict::is_open(&files, number) {
            return Err(Status::SharingViolation);
        }
        files.names.remove(name.as_bytes());
        Ok(())
    }

    fn rename(
        &self,
        _: &dyn RequestContext,
        from: (FileRef<'_>, &Name),
        to: (FileRef<'_>, &Name),
        _: RenameMode,
    ) -> Result<(), Status> {
        self.0.called("rename");
        let mut files = self.0.lock();
        let moved = files.names.get(from.1.as_bytes()).copied().ok_or(Errno::ENOENT)?;
        let replaced = files.names.get(to.1.as_bytes()).copied();
        let in_the_way = [Some(moved), replaced];
        if in_the_way.into_iter().flatten().any(|number| Strict::is_open(&files, number)) {
            return Err(Status::SharingViolation);
        }
        files.names.remove(from.1.as_bytes());
        files.names.insert(to.1.as_bytes().to_vec(), moved);
        Ok(())
    }

    fn open(
        &self,
        _: &dyn RequestContext,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        let (number, writes) = (file.identity.number, options.access.writes());
        self.0.called(format!("open {number} {}", if writes { "w" } else { "r" }));
        let mut files = self.0.lock();
        // Readers share with readers, a writer with nobody.
        if files.open.iter().any(|(&(other, w), &n)| other == number && n > 0 && (w || writes)) {
            return Err(Status::SharingViolation);
        }
        *files.open.entry((number, writes)).or_insert(0) += 1;
        Ok(Opened { extension: Arc::new(()), buffering: Buffering::default() })
    }

    fn should_try_to_collapse_this_open(&self, open: OpenRef<'_>) -> bool {
        !self.0.unwilling.load(Ordering::SeqCst) && !open.options.access.writes()
    }

    fn collapse_open(
        &self,
        _: &dyn RequestContext,
        open: OpenRef<'_>,
    ) -> Result<Option<Buffering>, Status> {
        self.0.called(format!("collapse {}", open.file.identity.number));
        Ok(None)
    }

    fn reclaim_open(
        &self,
        context: &dyn RequestContext,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        self.open(context, file, options)
    }

    fn close(&self, context: &dyn RequestContext, open: OpenRef<'_>) -> Result<(), Status> {
        let (number, writes) = (open.file.identity.number, open.options.access.writes());
        self.0.called(format!("close {number}"));
        self.0.null.pass(context, "close")?;
        let mut files = self.0.lock();
        let opens = files.open.get_mut(&(number, writes)).expect("it was opened");
        *opens = opens.checked_sub(1).expect("closed once for each open");
        Ok(())
    }

    fn read(
        &self,
        _: &dyn RequestContext,
        _: OpenRef<'_>,
        _: u64,
        size: usize,
        _: Vec<u8>,
        _: Submission<'_, Vec<u8>>,
    ) -> LowIo<Vec<u8>> {
        LowIo::Done(Ok(vec![0; size]))
    }

    fn query_file_information(
        &self,
        _: &dyn RequestContext,
        file: FileRef<'_>,
        _: Option<OpenRef<'_>>,
    ) -> Result<Attributes, Status> {
        Ok(Strict::found(file.identity.number, FileKind::Regular).attributes)
    }

    fn set_file_information(
        &self,
        _: &dyn RequestContext,
        file: FileRef<'_>,
        _: Option<OpenRef<'_>>,
        _: SetAttributes,
    ) -> Result<Attributes, Status> {
        if Strict::is_open(&self.0.lock(), file.identity.number) {
            return Err(Status::SharingViolation);
        }
        Ok(Strict::found(file.identity.number, FileKind::Regular).attributes)
    }
}
