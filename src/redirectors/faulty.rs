//! `faulty`: wraps another mini-redirector and makes its callouts slow, hang, fail or panic.
//!
//! What goes wrong is a [`FaultPlan`]: rules by callout, and a seed for what is left to chance. A
//! test steers a running one by its [`FaultControl`]; a user by options:
//!
//! | option | is |
//! | --- | --- |
//! | `read=hang` | hangs until cancelled |
//! | `write=hang-uncancellable` | hangs until released by a test |
//! | `close=delay:1s` | takes a second longer |
//! | `lookup=error:EIO@0.1` | fails one time in ten |
//! | `open=panic#3` | panics at the third call |
//! | `read=sync-hang` | hangs and keeps the thread |
//! | `all=delay:10ms` | every callout |
//! | `seed=7` | what chance is made of |
//! | `blocking=yes` | counts as blocking although nothing blocks yet |
//!
//! The faults of one call add up, in the order of the plan, until an error or panic ends it. Low
//! I/O (read, write, flush, commit, lock, notification) pends while it is delayed or hangs, as on a
//! network, and is completed by one timer thread of the instance; other callouts keep their thread.
//! A delay comes before the call, in low I/O after it: it is the answer that is late. After a hang
//! that was released the call is made.
//!
//! Extensions are those of the wrapped mini-redirector: it sees its own, unwrapped.

mod callout;
mod control;
mod options;
mod passage;
mod plan;
mod shared;
#[cfg(test)]
mod tests;

pub use callout::Callout;
pub use control::FaultControl;
pub use options::FaultyOptions;
pub use plan::{Fault, FaultPlan, Rule};

use crate::base::name::Name;
use crate::base::status::Status;
use crate::base::sync::{Mutex, Rank};
use crate::base::threads::{self, Thread};
use crate::mrx::calldown::{Capabilities, MiniRedirector};
use crate::mrx::low_io::{LowIo, Submission};
use crate::mrx::request::{
    AllocateMode, Attributes, Buffering, Change, DirectoryEntry, DirectoryQuery, Extension,
    FileRef, Found, Lock, NewNode, OpenOptions, OpenRef, Opened, Ownership, RenameMode, SeekTo,
    SetAttributes, SetExtendedAttributeMode, VolumeInformation,
};
use crate::mrx::upcall::{RequestContext, Upcalls};
use passage::OwnedOpen;
use shared::Shared;
use std::sync::Arc;

type Context<'a> = &'a dyn RequestContext;

/// The mini-redirector; one value serves one generation, like the one it wraps.
pub struct Faulty {
    inner: Arc<dyn MiniRedirector>,
    shared: Arc<Shared>,
    timer: Mutex<Option<Thread>>,
}

impl Faulty {
    /// Wraps `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn MiniRedirector>, plan: FaultPlan) -> Self {
        let timer = Mutex::new(Rank::Redirector, None);
        Self { inner, shared: Shared::new(plan), timer }
    }

    /// A handle for tests.
    #[must_use]
    pub fn control(&self) -> FaultControl {
        FaultControl { shared: Arc::clone(&self.shared) }
    }

    /// Starts the thread that low I/O is left to.
    fn start_timer(&self) -> Result<(), Status> {
        let mut timer = self.timer.lock();
        if timer.is_none() {
            let shared = Arc::clone(&self.shared);
            let thread = threads::spawn("faulty-timer", move || shared.serve());
            *timer = Some(thread.map_err(|error| {
                log::error!("faulty cannot start its timer thread: {error}");
                Status::InsufficientResources
            })?);
            drop(timer);
            self.shared.set_served();
        }
        Ok(())
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.shared.close();
        // Joined with no lock held: it completes requests on its way out.
        let timer = self.timer.lock().take();
        drop(timer);
    }
}

impl MiniRedirector for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn capabilities(&self) -> Capabilities {
        let inner = self.inner.capabilities();
        Capabilities { blocking: inner.blocking || self.shared.may_block(), ..inner }
    }

    fn start(&self, context: Context<'_>, upcalls: Arc<dyn Upcalls>) -> Result<(), Status> {
        self.shared.set_clock(upcalls.clock());
        self.start_timer()?;
        let _inside = self.meet(Callout::Start, Some(context))?;
        self.inner.start(context, upcalls)
    }

    fn stop(&self, context: Context<'_>) -> Result<(), Status> {
        let _inside = self.meet(Callout::Stop, Some(context))?;
        self.inner.stop(context)
    }

    fn device_control(
        &self,
        context: Context<'_>,
        code: u32,
        input: &[u8],
    ) -> Result<Vec<u8>, Status> {
        let _inside = self.meet(Callout::DeviceControl, Some(context))?;
        self.inner.device_control(context, code, input)
    }

    fn create_srv_call(&self, context: Context<'_>) -> Result<Extension, Status> {
        let _inside = self.meet(Callout::CreateSrvCall, Some(context))?;
        self.inner.create_srv_call(context)
    }

    fn finalize_srv_call(&self, srv_call: &Extension) {
        // It has no caller and returns nothing: it can only be late.
        let _inside = self.meet(Callout::FinalizeSrvCall, None);
        self.inner.finalize_srv_call(srv_call);
    }

    fn create_v_net_root(
        &self,
        context: Context<'_>,
        srv_call: &Extension,
    ) -> Result<(Extension, Found), Status> {
        let _inside = self.meet(Callout::CreateVNetRoot, Some(context))?;
        self.inner.create_v_net_root(context, srv_call)
    }

    fn finalize_v_net_root(&self, v_net_root: &Extension) {
        let _inside = self.meet(Callout::FinalizeVNetRoot, None);
        self.inner.finalize_v_net_root(v_net_root);
    }

    fn lookup(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<Found, Status> {
        let _inside = self.meet(Callout::Lookup, Some(context))?;
        self.inner.lookup(context, parent, name)
    }

    fn make_node(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
        node: &NewNode,
        owner: Ownership,
    ) -> Result<Found, Status> {
        let _inside = self.meet(Callout::MakeNode, Some(context))?;
        self.inner.make_node(context, parent, name, node, owner)
    }

    fn link(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<Attributes, Status> {
        let _inside = self.meet(Callout::Link, Some(context))?;
        self.inner.link(context, file, parent, name)
    }

    fn unlink(&self, context: Context<'_>, parent: FileRef<'_>, name: &Name) -> Result<(), Status> {
        let _inside = self.meet(Callout::Unlink, Some(context))?;
        self.inner.unlink(context, parent, name)
    }

    fn remove_directory(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<(), Status> {
        let _inside = self.meet(Callout::RemoveDirectory, Some(context))?;
        self.inner.remove_directory(context, parent, name)
    }

    fn rename(
        &self,
        context: Context<'_>,
        from: (FileRef<'_>, &Name),
        to: (FileRef<'_>, &Name),
        mode: RenameMode,
    ) -> Result<(), Status> {
        let _inside = self.meet(Callout::Rename, Some(context))?;
        self.inner.rename(context, from, to, mode)
    }

    fn read_link(&self, context: Context<'_>, file: FileRef<'_>) -> Result<Vec<u8>, Status> {
        let _inside = self.meet(Callout::ReadLink, Some(context))?;
        self.inner.read_link(context, file)
    }

    fn create(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
        owner: Ownership,
        options: OpenOptions,
    ) -> Result<(Found, Opened), Status> {
        let _inside = self.meet(Callout::Create, Some(context))?;
        self.inner.create(context, parent, name, owner, options)
    }

    fn open(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        let _inside = self.meet(Callout::Open, Some(context))?;
        self.inner.open(context, file, options)
    }

    fn should_try_to_collapse_this_open(&self, open: OpenRef<'_>) -> bool {
        let _inside = self.meet(Callout::ShouldTryToCollapseThisOpen, None);
        self.inner.should_try_to_collapse_this_open(open)
    }

    fn collapse_open(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
    ) -> Result<Option<Buffering>, Status> {
        let _inside = self.meet(Callout::CollapseOpen, Some(context))?;
        self.inner.collapse_open(context, open)
    }

    fn reclaim_open(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        let _inside = self.meet(Callout::ReclaimOpen, Some(context))?;
        self.inner.reclaim_open(context, file, options)
    }

    fn cleanup(&self, context: Context<'_>, open: OpenRef<'_>) -> Result<(), Status> {
        let _inside = self.meet(Callout::Cleanup, Some(context))?;
        self.inner.cleanup(context, open)
    }

    fn close(&self, context: Context<'_>, open: OpenRef<'_>) -> Result<(), Status> {
        let _inside = self.meet(Callout::Close, Some(context))?;
        self.inner.close(context, open)
    }

    fn read(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        offset: u64,
        size: usize,
        buffer: Vec<u8>,
        submission: Submission<'_, Vec<u8>>,
    ) -> LowIo<Vec<u8>> {
        let later = || -> passage::Work<Vec<u8>> {
            let owned = OwnedOpen::of(open);
            Box::new(move |inner, context, submission| {
                inner.read(context, owned.as_ref(), offset, size, Vec::new(), submission)
            })
        };
        let now = |inner: &dyn MiniRedirector, submission: Submission<'_, Vec<u8>>| {
            inner.read(context, open, offset, size, buffer, submission)
        };
        self.low_io(Callout::Read, context, submission, now, later)
    }

    fn write(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        offset: u64,
        data: &[u8],
        kill_privileges: bool,
        submission: Submission<'_, usize>,
    ) -> LowIo<usize> {
        let later = || -> passage::Work<usize> {
            let owned = OwnedOpen::of(open);
            let data = data.to_vec();
            Box::new(move |inner, context, submission| {
                inner.write(context, owned.as_ref(), offset, &data, kill_privileges, submission)
            })
        };
        let now = |inner: &dyn MiniRedirector, submission: Submission<'_, usize>| {
            inner.write(context, open, offset, data, kill_privileges, submission)
        };
        self.low_io(Callout::Write, context, submission, now, later)
    }

    fn flush(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        data_only: bool,
        submission: Submission<'_, ()>,
    ) -> LowIo<()> {
        let later = || -> passage::Work<()> {
            let owned = OwnedOpen::of(open);
            Box::new(move |inner, context, submission| {
                inner.flush(context, owned.as_ref(), data_only, submission)
            })
        };
        let now = |inner: &dyn MiniRedirector, submission: Submission<'_, ()>| {
            inner.flush(context, open, data_only, submission)
        };
        self.low_io(Callout::Flush, context, submission, now, later)
    }

    fn commit(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        submission: Submission<'_, ()>,
    ) -> LowIo<()> {
        let later = || -> passage::Work<()> {
            let owned = OwnedOpen::of(open);
            Box::new(move |inner, context, submission| {
                inner.commit(context, owned.as_ref(), submission)
            })
        };
        let now = |inner: &dyn MiniRedirector, submission: Submission<'_, ()>| {
            inner.commit(context, open, submission)
        };
        self.low_io(Callout::Commit, context, submission, now, later)
    }

    fn lock(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        lock: Lock,
        wait: bool,
        submission: Submission<'_, ()>,
    ) -> LowIo<()> {
        let later = || -> passage::Work<()> {
            let owned = OwnedOpen::of(open);
            Box::new(move |inner, context, submission| {
                inner.lock(context, owned.as_ref(), lock, wait, submission)
            })
        };
        let now = |inner: &dyn MiniRedirector, submission: Submission<'_, ()>| {
            inner.lock(context, open, lock, wait, submission)
        };
        self.low_io(Callout::Lock, context, submission, now, later)
    }

    fn notify_change_directory(
        &self,
        context: Context<'_>,
        directory: OpenRef<'_>,
        submission: Submission<'_, Vec<Change>>,
    ) -> LowIo<Vec<Change>> {
        let later = || -> passage::Work<Vec<Change>> {
            let owned = OwnedOpen::of(directory);
            Box::new(move |inner, context, submission| {
                inner.notify_change_directory(context, owned.as_ref(), submission)
            })
        };
        let now = |inner: &dyn MiniRedirector, submission: Submission<'_, Vec<Change>>| {
            inner.notify_change_directory(context, directory, submission)
        };
        self.low_io(Callout::NotifyChangeDirectory, context, submission, now, later)
    }

    fn query_file_information(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        open: Option<OpenRef<'_>>,
    ) -> Result<Attributes, Status> {
        let _inside = self.meet(Callout::QueryFileInformation, Some(context))?;
        self.inner.query_file_information(context, file, open)
    }

    fn set_file_information(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        open: Option<OpenRef<'_>>,
        set: SetAttributes,
    ) -> Result<Attributes, Status> {
        let _inside = self.meet(Callout::SetFileInformation, Some(context))?;
        self.inner.set_file_information(context, file, open, set)
    }

    fn query_directory(
        &self,
        context: Context<'_>,
        directory: OpenRef<'_>,
        query: DirectoryQuery,
    ) -> Result<Vec<DirectoryEntry>, Status> {
        let _inside = self.meet(Callout::QueryDirectory, Some(context))?;
        self.inner.query_directory(context, directory, query)
    }

    fn query_volume_information(&self, context: Context<'_>) -> Result<VolumeInformation, Status> {
        let _inside = self.meet(Callout::QueryVolumeInformation, Some(context))?;
        self.inner.query_volume_information(context)
    }

    fn query_extended_attribute(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        name: &[u8],
    ) -> Result<Vec<u8>, Status> {
        let _inside = self.meet(Callout::QueryExtendedAttribute, Some(context))?;
        self.inner.query_extended_attribute(context, file, name)
    }

    fn list_extended_attributes(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
    ) -> Result<Vec<u8>, Status> {
        let _inside = self.meet(Callout::ListExtendedAttributes, Some(context))?;
        self.inner.list_extended_attributes(context, file)
    }

    fn set_extended_attribute(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        name: &[u8],
        value: &[u8],
        mode: SetExtendedAttributeMode,
    ) -> Result<(), Status> {
        let _inside = self.meet(Callout::SetExtendedAttribute, Some(context))?;
        self.inner.set_extended_attribute(context, file, name, value, mode)
    }

    fn remove_extended_attribute(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        name: &[u8],
    ) -> Result<(), Status> {
        let _inside = self.meet(Callout::RemoveExtendedAttribute, Some(context))?;
        self.inner.remove_extended_attribute(context, file, name)
    }

    fn allocate(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        offset: u64,
        length: u64,
        mode: AllocateMode,
    ) -> Result<(), Status> {
        let _inside = self.meet(Callout::Allocate, Some(context))?;
        self.inner.allocate(context, open, offset, length, mode)
    }

    fn seek(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        offset: u64,
        to: SeekTo,
    ) -> Result<u64, Status> {
        let _inside = self.meet(Callout::Seek, Some(context))?;
        self.inner.seek(context, open, offset, to)
    }

    fn copy_range(
        &self,
        context: Context<'_>,
        from: (OpenRef<'_>, u64),
        to: (OpenRef<'_>, u64),
        length: u64,
    ) -> Result<u64, Status> {
        let _inside = self.meet(Callout::CopyRange, Some(context))?;
        self.inner.copy_range(context, from, to, length)
    }

    fn query_lock(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        lock: Lock,
    ) -> Result<Option<Lock>, Status> {
        let _inside = self.meet(Callout::QueryLock, Some(context))?;
        self.inner.query_lock(context, open, lock)
    }
}
