//! `mapped`: wraps another mini-redirector and shows its owners and permissions otherwise.
//!
//! | option | is |
//! | --- | --- |
//! | `uid=N`, `gid=N` | every file is shown as this user's, this group's |
//! | `map=1000/2000:@50/@100` | the server's user 1000 is shown as 2000, its group 50 as 100 |
//! | `umask=022`, `fmask=`, `dmask=` | permission bits that nothing has: no file, no directory |
//!
//! What a caller asks for goes the same way back, or is refused: nothing is stored that would not
//! be shown as it was asked for (docs/decisions/0021-owners-are-mapped-around-a-redirector.md). The
//! core and the kernel see this machine's ids, the wrapped mini-redirector its server's.
//!
//! Extensions are those of the wrapped mini-redirector: it sees its own, unwrapped.

mod ids;
mod lists;
mod options;
#[cfg(test)]
mod tests;

pub use options::{Mapping, Names};

use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::mrx::calldown::{Capabilities, MiniRedirector};
use crate::mrx::low_io::{LowIo, Submission};
use crate::mrx::request::{
    AllocateMode, Attributes, Buffering, Change, DirectoryEntry, DirectoryQuery, Extension,
    FileKind, FileRef, Found, Lock, NewNode, OpenOptions, OpenRef, Opened, Ownership, RenameMode,
    SeekTo, SetAttributes, SetExtendedAttributeMode, VolumeInformation,
};
use crate::mrx::upcall::{RequestContext, Upcalls};
use ids::IdMap;
use lists::Way;
use std::sync::Arc;

type Context<'a> = &'a dyn RequestContext;

/// Set-user-id and set-group-id.
const SET_ID: u16 = 0o6000;
/// Execute permission, for anybody.
const MAY_RUN: u16 = 0o111;

/// The mini-redirector; one value serves one generation, like the one it wraps.
pub struct Mapped {
    inner: Arc<dyn MiniRedirector>,
    mapping: Mapping,
}

impl Mapped {
    /// Wraps `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn MiniRedirector>, mapping: Mapping) -> Self {
        Self { inner, mapping }
    }

    const fn mask(&self, kind: FileKind) -> u16 {
        match kind {
            FileKind::Directory => self.mapping.directory_mask,
            // Nobody asks for a link's permissions.
            FileKind::Symlink => 0,
            _ => self.mapping.file_mask,
        }
    }

    fn shown(&self, attributes: Attributes) -> Attributes {
        let mapping = &self.mapping;
        Attributes {
            uid: mapping.uid.unwrap_or_else(|| mapping.users.shown(attributes.uid)),
            gid: mapping.gid.unwrap_or_else(|| mapping.groups.shown(attributes.gid)),
            permissions: attributes.permissions & !self.mask(attributes.kind),
            ..attributes
        }
    }

    fn found(&self, found: Found) -> Found {
        Found { attributes: self.shown(found.attributes), ..found }
    }

    /// Does anybody act as somebody else on the server?
    fn lends_identity(&self) -> bool {
        let Mapping { uid, gid, users, groups, .. } = &self.mapping;
        uid.is_some() || gid.is_some() || !users.is_identity() || !groups.is_identity()
    }

    /// May this caller make set-id files? They run as somebody of the server's, who is not he.
    fn may_set_id(&self, context: Context<'_>) -> bool {
        context.caller().uid == 0 || !self.lends_identity()
    }

    /// A new file's owner and permissions on the server.
    fn owned(
        &self,
        context: Context<'_>,
        owner: Ownership,
        kind: FileKind,
    ) -> Result<Ownership, Status> {
        // As the kernel says it of an id that an idmapped mount has no place for.
        let unknown = || Status::Posix(Errno::EOVERFLOW);
        let set_id = match kind {
            FileKind::Directory => SET_ID,
            _ if self.may_set_id(context) => SET_ID,
            _ => 0,
        };
        Ok(Ownership {
            permissions: owner.permissions & !self.mask(kind) & (!SET_ID | set_id),
            umask: owner.umask,
            uid: self.mapping.users.stored(owner.uid).ok_or_else(unknown)?,
            gid: self.mapping.groups.stored(owner.gid).ok_or_else(unknown)?,
        })
    }

    /// A `chmod`'s permissions on the server.
    fn permitted(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        permissions: u16,
    ) -> Result<u16, Status> {
        let sets_id = permissions & SET_ID != 0 && !self.may_set_id(context);
        if !sets_id && self.mapping.masks_nothing() {
            return Ok(permissions);
        }
        let is = self.inner.query_file_information(context, file, None)?;
        // Nor may who was not let run it be let run it as somebody else.
        let added = permissions & !is.permissions & (SET_ID | MAY_RUN);
        if sets_id && is.kind != FileKind::Directory && added != 0 {
            return Err(Status::Posix(Errno::EPERM));
        }
        Ok(permissions & !self.mask(is.kind))
    }

    /// An access control list on its way.
    fn list(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        (name, list): (&[u8], &[u8]),
        way: Way,
    ) -> Result<Vec<u8>, Status> {
        // A default list is judged only when it has become a new file's own.
        let mask = match name == lists::ACCESS && !self.mapping.masks_nothing() {
            true => self.mask(self.inner.query_file_information(context, file, None)?.kind),
            false => 0,
        };
        let maps = (&self.mapping.users, &self.mapping.groups);
        lists::translate(list, maps, way, mask).ok_or(Status::InvalidParameter)
    }
}

fn is_list(name: &[u8]) -> bool {
    name == lists::ACCESS || name == lists::DEFAULT
}

/// A `chown`'s user or group on the server.
fn given(asked: Option<u32>, shown: Option<u32>, map: &IdMap) -> Result<Option<u32>, Status> {
    match (asked, shown) {
        (None, _) => Ok(None),
        // To whom it is shown as anyway. It can be nobody else's.
        (Some(id), Some(shown)) if id == shown => Ok(None),
        (Some(_), Some(_)) => Err(Status::Posix(Errno::EPERM)),
        (Some(id), None) => map.stored(id).map(Some).ok_or(Status::InvalidParameter),
    }
}

impl MiniRedirector for Mapped {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn start(&self, context: Context<'_>, upcalls: Arc<dyn Upcalls>) -> Result<(), Status> {
        self.inner.start(context, upcalls)
    }

    fn stop(&self, context: Context<'_>) -> Result<(), Status> {
        self.inner.stop(context)
    }

    fn device_control(
        &self,
        context: Context<'_>,
        code: u32,
        input: &[u8],
    ) -> Result<Vec<u8>, Status> {
        self.inner.device_control(context, code, input)
    }

    fn create_srv_call(&self, context: Context<'_>) -> Result<Extension, Status> {
        self.inner.create_srv_call(context)
    }

    fn finalize_srv_call(&self, srv_call: &Extension) {
        self.inner.finalize_srv_call(srv_call);
    }

    fn create_v_net_root(
        &self,
        context: Context<'_>,
        srv_call: &Extension,
    ) -> Result<(Extension, Found), Status> {
        let (share, root) = self.inner.create_v_net_root(context, srv_call)?;
        Ok((share, self.found(root)))
    }

    fn finalize_v_net_root(&self, v_net_root: &Extension) {
        self.inner.finalize_v_net_root(v_net_root);
    }

    fn lookup(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<Found, Status> {
        self.inner.lookup(context, parent, name).map(|found| self.found(found))
    }

    fn make_node(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
        node: &NewNode,
        owner: Ownership,
    ) -> Result<Found, Status> {
        let kind = match node {
            NewNode::Directory => FileKind::Directory,
            NewNode::Symlink(_) => FileKind::Symlink,
            NewNode::Special(kind, _) => *kind,
        };
        let owner = self.owned(context, owner, kind)?;
        let made = self.inner.make_node(context, parent, name, node, owner);
        made.map(|found| self.found(found))
    }

    fn link(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<Attributes, Status> {
        let linked = self.inner.link(context, file, parent, name);
        linked.map(|attributes| self.shown(attributes))
    }

    fn unlink(&self, context: Context<'_>, parent: FileRef<'_>, name: &Name) -> Result<(), Status> {
        self.inner.unlink(context, parent, name)
    }

    fn remove_directory(
        &self,
        context: Context<'_>,
        parent: FileRef<'_>,
        name: &Name,
    ) -> Result<(), Status> {
        self.inner.remove_directory(context, parent, name)
    }

    fn rename(
        &self,
        context: Context<'_>,
        from: (FileRef<'_>, &Name),
        to: (FileRef<'_>, &Name),
        mode: RenameMode,
    ) -> Result<(), Status> {
        self.inner.rename(context, from, to, mode)
    }

    fn read_link(&self, context: Context<'_>, file: FileRef<'_>) -> Result<Vec<u8>, Status> {
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
        let owner = self.owned(context, owner, FileKind::Regular)?;
        let (found, opened) = self.inner.create(context, parent, name, owner, options)?;
        Ok((self.found(found), opened))
    }

    fn open(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        self.inner.open(context, file, options)
    }

    fn should_try_to_collapse_this_open(&self, open: OpenRef<'_>) -> bool {
        self.inner.should_try_to_collapse_this_open(open)
    }

    fn collapse_open(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
    ) -> Result<Option<Buffering>, Status> {
        self.inner.collapse_open(context, open)
    }

    fn reclaim_open(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        self.inner.reclaim_open(context, file, options)
    }

    fn cleanup(&self, context: Context<'_>, open: OpenRef<'_>) -> Result<(), Status> {
        self.inner.cleanup(context, open)
    }

    fn close(&self, context: Context<'_>, open: OpenRef<'_>) -> Result<(), Status> {
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
        self.inner.read(context, open, offset, size, buffer, submission)
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
        // The pages of a shared mapping come without a word of whose they are: whoever it was must
        // not leave a program that runs as somebody else.
        let kill_privileges = kill_privileges || self.lends_identity();
        self.inner.write(context, open, offset, data, kill_privileges, submission)
    }

    fn flush(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        data_only: bool,
        submission: Submission<'_, ()>,
    ) -> LowIo<()> {
        self.inner.flush(context, open, data_only, submission)
    }

    fn commit(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        submission: Submission<'_, ()>,
    ) -> LowIo<()> {
        self.inner.commit(context, open, submission)
    }

    fn lock(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        lock: Lock,
        wait: bool,
        submission: Submission<'_, ()>,
    ) -> LowIo<()> {
        self.inner.lock(context, open, lock, wait, submission)
    }

    fn notify_change_directory(
        &self,
        context: Context<'_>,
        directory: OpenRef<'_>,
        submission: Submission<'_, Vec<Change>>,
    ) -> LowIo<Vec<Change>> {
        self.inner.notify_change_directory(context, directory, submission)
    }

    fn query_file_information(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        open: Option<OpenRef<'_>>,
    ) -> Result<Attributes, Status> {
        let is = self.inner.query_file_information(context, file, open);
        is.map(|attributes| self.shown(attributes))
    }

    fn set_file_information(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        open: Option<OpenRef<'_>>,
        set: SetAttributes,
    ) -> Result<Attributes, Status> {
        let permissions = set.permissions.map(|asked| self.permitted(context, file, asked));
        let set = SetAttributes {
            permissions: permissions.transpose()?,
            uid: given(set.uid, self.mapping.uid, &self.mapping.users)?,
            gid: given(set.gid, self.mapping.gid, &self.mapping.groups)?,
            ..set
        };
        let is = self.inner.set_file_information(context, file, open, set);
        is.map(|attributes| self.shown(attributes))
    }

    fn query_directory(
        &self,
        context: Context<'_>,
        directory: OpenRef<'_>,
        query: DirectoryQuery,
    ) -> Result<Vec<DirectoryEntry>, Status> {
        let mut entries = self.inner.query_directory(context, directory, query)?;
        for entry in &mut entries {
            entry.found = entry.found.take().map(|found| self.found(found));
        }
        Ok(entries)
    }

    fn query_volume_information(&self, context: Context<'_>) -> Result<VolumeInformation, Status> {
        self.inner.query_volume_information(context)
    }

    fn query_extended_attribute(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        name: &[u8],
    ) -> Result<Vec<u8>, Status> {
        let value = self.inner.query_extended_attribute(context, file, name)?;
        match is_list(name) {
            true => self.list(context, file, (name, &value), Way::Shown),
            false => Ok(value),
        }
    }

    fn list_extended_attributes(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
    ) -> Result<Vec<u8>, Status> {
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
        if !is_list(name) {
            return self.inner.set_extended_attribute(context, file, name, value, mode);
        }
        let value = self.list(context, file, (name, value), Way::Stored)?;
        self.inner.set_extended_attribute(context, file, name, &value, mode)
    }

    fn remove_extended_attribute(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        name: &[u8],
    ) -> Result<(), Status> {
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
        self.inner.allocate(context, open, offset, length, mode)
    }

    fn seek(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        offset: u64,
        to: SeekTo,
    ) -> Result<u64, Status> {
        self.inner.seek(context, open, offset, to)
    }

    fn copy_range(
        &self,
        context: Context<'_>,
        from: (OpenRef<'_>, u64),
        to: (OpenRef<'_>, u64),
        length: u64,
    ) -> Result<u64, Status> {
        self.inner.copy_range(context, from, to, length)
    }

    fn query_lock(
        &self,
        context: Context<'_>,
        open: OpenRef<'_>,
        lock: Lock,
    ) -> Result<Option<Lock>, Status> {
        self.inner.query_lock(context, open, lock)
    }
}
