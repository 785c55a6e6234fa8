//! `MiniRedirector`: what the core asks of a mini-redirector, mirroring MINIRDR_DISPATCH.
//!
//! Every callout has a safe default (STATUS_NOT_IMPLEMENTED, or a harmless answer where the
//! document says the result is ignored), so an empty slot is never a crash (rdbss.md 5). The core
//! calls with none of its locks held, catches panics, and never calls for a context already
//! cancelled.
//!
//! Callouts take file *extensions*, not paths: whatever a mini-redirector needs to find a file
//! again it puts into the extension it returned for it. Permission checks of the calling user are
//! done by the kernel (`default_permissions`) from the attributes returned here.

use crate::base::name::Name;
use crate::base::status::Status;
use crate::mrx::low_io::{LowIo, Submission};
use crate::mrx::request::{
    AllocateMode, Attributes, Buffering, Change, DirectoryEntry, DirectoryQuery, Extension,
    FileRef, Found, Lock, NewNode, OpenOptions, OpenRef, Opened, Ownership, RenameMode, SeekTo,
    SetAttributes, SetExtendedAttributeMode, VolumeInformation,
};
use crate::mrx::upcall::{RequestContext, Upcalls};
use std::sync::Arc;

/// What a mini-redirector says of itself at registration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Callouts may block for long (a network): they are posted to the file system process and
    /// never run on a thread that serves the kernel.
    pub blocking: bool,
    /// Byte-range locks are enforced by the server; otherwise the kernel keeps them locally.
    pub locks: bool,
    /// Extended attributes exist.
    pub extended_attributes: bool,
    /// POSIX ACLs are kept in `system.posix_acl_*` and the kernel may enforce them.
    pub posix_acl: bool,
    /// Nobody else changes the server's files: names and attributes may be cached for long.
    pub exclusive: bool,
    /// Opens on the server are made with the daemon's rights, whoever asks: the kernel has checked
    /// the caller, because such a mount always has `default_permissions`. Otherwise an open is
    /// shared only among callers whose supplementary groups are equal too, which costs a look into
    /// `/proc` at each open.
    pub daemon_rights: bool,
    /// Closes that may wait for the next open of the same kind, for each server
    /// (MaximumNumberOfCloseDelayedFiles, rdbss.md 7.4). 0: every close is made at once.
    pub delayed_closes_max: usize,
}

type Context<'a> = &'a dyn RequestContext;

/// One kind of server. One value serves one generation: the core makes a fresh one for each start
/// and keeps the old one alive for its survivors (stop.md S3).
#[allow(unused_variables)]
pub trait MiniRedirector: Send + Sync {
    /// `memory`, `local`, …
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    // ---- life ---------------------------------------------------------------------------------

    /// MRxStart: begin work. A failure undoes the whole start.
    fn start(&self, context: Context<'_>, upcalls: Arc<dyn Upcalls>) -> Result<(), Status> {
        Ok(())
    }

    /// MRxStop: give up everything that survivors do not need. Runs alone: nothing else of this
    /// generation is inside. A failure is reported and does not keep the device up.
    fn stop(&self, context: Context<'_>) -> Result<(), Status> {
        Ok(())
    }

    /// MRxDevFcbXXXControlFile: a private control code on the device.
    fn device_control(
        &self,
        context: Context<'_>,
        code: u32,
        input: &[u8],
    ) -> Result<Vec<u8>, Status> {
        Err(Status::NotImplemented)
    }

    // ---- server, share, view ------------------------------------------------------------------

    /// MRxCreateSrvCall: connect to the server. Returns the SRV_CALL's extension.
    fn create_srv_call(&self, context: Context<'_>) -> Result<Extension, Status> {
        Ok(Arc::new(()))
    }

    /// MRxFinalizeSrvCall: drop the connection.
    fn finalize_srv_call(&self, srv_call: &Extension) {}

    /// MRxCreateVNetRoot: open the share for one user's view. Returns the share's extension and its
    /// root directory.
    fn create_v_net_root(
        &self,
        context: Context<'_>,
        srv_call: &Extension,
    ) -> Result<(Extension, Found), Status>;

    /// MRxFinalizeVNetRoot.
    fn finalize_v_net_root(&self, v_net_root: &Extension) {}

    // ---- names --------------------------------------------------------------------------------

    /// Finds a name in a directory; ENOENT if it is not there. Does not follow symlinks.
    fn lookup(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<Found, Status>;

    /// Makes a directory, symlink or special file.
    fn make_node(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
        node: &NewNode,
        owner: Ownership,
    ) -> Result<Found, Status> {
        Err(Status::NotImplemented)
    }

    /// Gives a file another name.
    fn link(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<Attributes, Status> {
        Err(Status::NotImplemented)
    }

    /// Removes a name that is not a directory. Open handles keep working.
    fn unlink(&self, context: Context<'_>, parent: FileRef<'_>, name: &Name) -> Result<(), Status> {
        Err(Status::NotImplemented)
    }

    /// Removes an empty directory.
    fn remove_directory(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<(), Status> {
        Err(Status::NotImplemented)
    }

    /// Moves a name.
    fn rename(
        &self,
        context: Context<'_>,
        from: (FileRef<'_>, &Name),
        to: (FileRef<'_>, &Name),
        mode: RenameMode,
    ) -> Result<(), Status> {
        Err(Status::NotImplemented)
    }

    /// A symlink's target.
    fn read_link(&self, context: Context<'_>, file: FileRef<'_>) -> Result<Vec<u8>, Status> {
        Err(Status::NotImplemented)
    }

    // ---- open and close -----------------------------------------------------------------------

    /// MRxCreate of a new name: makes a regular file and opens it. Fails with EEXIST if the name is
    /// taken.
    fn create(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
        owner: Ownership,
        options: OpenOptions,
    ) -> Result<(Found, Opened), Status> {
        Err(Status::NotImplemented)
    }

    /// MRxCreate of an existing file or directory.
    fn open(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status>;

    /// MRxShouldTryToCollapseThisOpen: may further handles share this open, and may its close wait
    /// for the next one? Asked when it was opened, and again before each sharing; only for opens of
    /// equal access, options and credentials.
    fn should_try_to_collapse_this_open(&self, open: OpenRef<'_>) -> bool {
        false
    }

    /// MRxCollapseOpen: a new handle is put on an existing open. What may be cached for it now;
    /// none: what was said for the open.
    fn collapse_open(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
    ) -> Result<Option<Buffering>, Status> {
        Ok(None)
    }

    /// MRxCreate after a restart: opens again what `old` was in an earlier generation, by identity
    /// (stop.md S4). `file` is this generation's.
    fn reclaim_open(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        Err(Status::NotImplemented)
    }

    /// MRxCleanupFobx: the last descriptor of a handle is gone.
    fn cleanup(&self, context: Context<'_>, open: OpenRef<'_>) -> Result<(), Status> {
        Ok(())
    }

    /// MRxCloseSrvOpen: close on the server. May come long after the user's close.
    fn close(&self, context: Context<'_>, open: OpenRef<'_>) -> Result<(), Status> {
        Ok(())
    }

    // ---- low I/O: may complete later ----------------------------------------------------------

    /// `MRxLowIOSubmit[READ]`: up to `size` bytes at `offset`; fewer only at the end of the file.
    /// `buffer` is empty, may have capacity, and is what should be filled and returned.
    fn read(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        offset: u64,
        size: usize,
        buffer: Vec<u8>,
        submission: Submission<'_, Vec<u8>>,
    ) -> LowIo<Vec<u8>> {
        LowIo::Done(Err(Status::NotImplemented))
    }

    /// `MRxLowIOSubmit[WRITE]`: all of `data` at `offset`, or at the end for an append open.
    /// Returns the bytes written. `kill_privileges` as in [`SetAttributes`].
    fn write(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        offset: u64,
        data: &[u8],
        kill_privileges: bool,
        submission: Submission<'_, usize>,
    ) -> LowIo<usize> {
        LowIo::Done(Err(Status::NotImplemented))
    }

    /// MRxFlush: what was written is on stable storage when this completes.
    fn flush(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        data_only: bool,
        submission: Submission<'_, ()>,
    ) -> LowIo<()> {
        LowIo::Done(Ok(()))
    }

    /// MRxFlush at cleanup: everything acknowledged on this open has reached the server, though not
    /// its disk. Called at every close(2) and by a stop (design README, invariant 9); a
    /// mini-redirector that keeps nothing back leaves the default.
    fn commit(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        submission: Submission<'_, ()>,
    ) -> LowIo<()> {
        LowIo::Done(Ok(()))
    }

    /// `MRxLowIOSubmit[SHAREDLOCK, EXCLUSIVELOCK, UNLOCK]`: with `wait` it may pend until granted.
    fn lock(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        lock: Lock,
        wait: bool,
        submission: Submission<'_, ()>,
    ) -> LowIo<()> {
        LowIo::Done(Err(Status::NotImplemented))
    }

    /// `MRxLowIOSubmit[NOTIFY_CHANGE_DIRECTORY]`: pends until something changes in the directory.
    fn notify_change_directory(
        &self,
        context: Context<'_>,
        directory: OpenRef<'_>,
        submission: Submission<'_, Vec<Change>>,
    ) -> LowIo<Vec<Change>> {
        LowIo::Done(Err(Status::NotImplemented))
    }

    // ---- information --------------------------------------------------------------------------

    /// MRxQueryFileInfo.
    fn query_file_information(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        open: Option<OpenRef<'_>>,
    ) -> Result<Attributes, Status>;

    /// MRxSetFileInfo, MRxTruncate: changes attributes and returns the new ones.
    fn set_file_information(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        open: Option<OpenRef<'_>>,
        set: SetAttributes,
    ) -> Result<Attributes, Status> {
        Err(Status::NotImplemented)
    }

    /// MRxQueryDirectory.
    fn query_directory(
        &self,
        context: Context<'_>,
        directory: OpenRef<'_>,
        query: DirectoryQuery,
    ) -> Result<Vec<DirectoryEntry>, Status> {
        Err(Status::NotImplemented)
    }

    /// MRxQueryVolumeInfo.
    fn query_volume_information(&self, context: Context<'_>) -> Result<VolumeInformation, Status> {
        Err(Status::NotImplemented)
    }

    /// MRxQueryEaInfo of one name: the value. ENODATA if there is none.
    fn query_extended_attribute(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        name: &[u8],
    ) -> Result<Vec<u8>, Status> {
        Err(Status::NotImplemented)
    }

    /// MRxQueryEaInfo of all names: each followed by NUL.
    fn list_extended_attributes(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
    ) -> Result<Vec<u8>, Status> {
        Err(Status::NotImplemented)
    }

    /// MRxSetEaInfo.
    fn set_extended_attribute(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        name: &[u8],
        value: &[u8],
        mode: SetExtendedAttributeMode,
    ) -> Result<(), Status> {
        Err(Status::NotImplemented)
    }

    /// MRxSetEaInfo with no value.
    fn remove_extended_attribute(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        name: &[u8],
    ) -> Result<(), Status> {
        Err(Status::NotImplemented)
    }

    /// MRxExtendForNonCache and its relatives: `fallocate`. Privileges are killed (see
    /// [`SetAttributes`]) unless the caller is root.
    fn allocate(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        offset: u64,
        length: u64,
        mode: AllocateMode,
    ) -> Result<(), Status> {
        Err(Status::NotSupported)
    }

    /// `lseek` for data or holes.
    fn seek(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        offset: u64,
        to: SeekTo,
    ) -> Result<u64, Status> {
        Err(Status::NotImplemented)
    }

    /// `copy_file_range` inside the server. Returns the bytes copied, 0 at the source's end.
    /// Privileges of the target are killed as by [`allocate`](Self::allocate).
    fn copy_range(
        &self,
        context: Context<'_>,
        from: (OpenRef<'_>, u64),
        to: (OpenRef<'_>, u64),
        length: u64,
    ) -> Result<u64, Status> {
        Err(Status::NotImplemented)
    }

    /// MRxIsLockRealizable / F_GETLK: the lock in the way, if any.
    fn query_lock(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        lock: Lock,
    ) -> Result<Option<Lock>, Status> {
        Err(Status::NotImplemented)
    }
}
