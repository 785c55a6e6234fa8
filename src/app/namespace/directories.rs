//! The directories between the mount's root and its shares, as a mini-redirector: what is in them
//! the prefix router knows, and nobody can change it through the mount.
//!
//! Its device is the mount's own: it is there whatever becomes of the providers, and its stop is
//! the mount's.

use crate::app::namespace::provider::Share;
use crate::base::clock::Clock;
use crate::base::ids::Caller;
use crate::base::limits::NAME_BYTES_MAX;
use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::base::sync::{Mutex, Rank};
use crate::mrx::calldown::{Capabilities, MiniRedirector};
use crate::mrx::request::{
    Attributes, Buffering, DirectoryEntry, DirectoryQuery, Extension, FileIdentity, FileKind,
    FileRef, Found, NewNode, OpenOptions, OpenRef, Opened, Ownership, RenameMode, SetAttributes,
    Timestamp, VolumeInformation,
};
use crate::mrx::upcall::RequestContext;
use crate::mup::net_name::NetName;
use crate::mup::resolve::Resolution;
use crate::mup::router::Router;
use std::collections::HashMap;
use std::sync::Arc;

/// The root's number here; the core calls it 1.
const ROOT_NUMBER: u64 = 2;
/// What a listing's entry takes in the kernel's buffer besides its name.
const ENTRY_BYTES: usize = 24;
/// The same of what READDIRPLUS adds.
const ENTRY_PLUS_BYTES: usize = 128;
const BLOCK_BYTES: u32 = 4096;

type Context<'a> = &'a dyn RequestContext;

/// What the router has in its own directories.
pub trait Listing: Send + Sync {
    /// The names in a directory after `after`, in order, at most `max`; none if it is none.
    fn list(&self, directory: &NetName, after: Option<&Name>, max: usize) -> Option<Vec<Name>>;

    /// Is it a directory of the router's own? A share's root is not.
    fn is_directory(&self, name: &NetName) -> bool;

    /// The kernel's number of a share's root.
    fn share_number(&self, name: &NetName) -> Option<u64>;
}

impl Listing for Router<Share> {
    fn list(&self, directory: &NetName, after: Option<&Name>, max: usize) -> Option<Vec<Name>> {
        Self::list(self, directory, after, max).ok()
    }

    fn is_directory(&self, name: &NetName) -> bool {
        let resolved = self.resolve_now(name, Caller::default());
        matches!(resolved, Some(Ok(Resolution::Directory)))
    }

    fn share_number(&self, name: &NetName) -> Option<u64> {
        let share = self.provider(self.owner(name).ok()?).ok()?;
        Some(share.member()?.root()?.number().0)
    }
}

/// Numbers of directories. One that was removed and comes again is another.
#[derive(Default)]
struct Numbers {
    last: u64,
    by_name: HashMap<NetName, u64>,
}

/// What all generations share.
pub struct Directories {
    listing: Arc<dyn Listing>,
    numbers: Mutex<Numbers>,
    since: Timestamp,
    owner: (u32, u32),
}

impl Directories {
    /// The directories of one mount; they are its user's, and everybody may look.
    #[must_use]
    pub fn new(listing: Arc<dyn Listing>, clock: &dyn Clock) -> Arc<Self> {
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let numbers = Numbers { last: ROOT_NUMBER, by_name: HashMap::new() };
        Arc::new(Self {
            listing,
            numbers: Mutex::new(Rank::Redirector, numbers),
            since: clock.wall().into(),
            owner,
        })
    }

    /// The number of a directory; a new one if it has none.
    #[must_use]
    pub fn number(&self, name: &NetName) -> u64 {
        if name.is_root() {
            return ROOT_NUMBER;
        }
        let mut numbers = self.numbers.lock();
        if let Some(number) = numbers.by_name.get(name) {
            return *number;
        }
        numbers.last += 1;
        let number = numbers.last;
        numbers.by_name.insert(name.clone(), number);
        number
    }

    /// Forgets the numbers of what is no directory of the configuration any more. One that is away
    /// because its providers are stopped keeps its number: who is in it is in it again when they
    /// start.
    pub fn prune(&self, stays: impl Fn(&NetName) -> bool) {
        self.numbers.lock().by_name.retain(|name, _| stays(name));
    }

    fn found(&self, name: NetName) -> Found {
        Found {
            identity: FileIdentity { number: self.number(&name), generation: 0 },
            attributes: self.attributes(),
            extension: Arc::new(name),
        }
    }

    fn attributes(&self) -> Attributes {
        let (uid, gid) = self.owner;
        Attributes {
            kind: FileKind::Directory,
            permissions: 0o555,
            // As a file system says it that does not count subdirectories.
            links: 1,
            uid,
            gid,
            device: 0,
            size: 0,
            blocks: 0,
            block_size: BLOCK_BYTES,
            accessed: self.since,
            modified: self.since,
            changed: self.since,
            created: self.since,
            leased: false,
        }
    }
}

/// What a handle lists: the names of the moment it began at the beginning. So a listing is of one
/// moment, however long it takes and whatever comes and goes meanwhile.
struct Names(Mutex<Arc<[Name]>>);

/// Where the directory is.
fn name_of<'a>(file: &FileRef<'a>) -> Result<&'a NetName, Status> {
    file.extension.downcast_ref().ok_or(Status::InvalidHandle)
}

/// What is wrong with changing something here.
const READ_ONLY: Status = Status::Posix(Errno::EROFS);

/// One generation.
pub struct DirectoryRedirector(pub Arc<Directories>);

impl MiniRedirector for DirectoryRedirector {
    fn name(&self) -> &'static str {
        "namespace"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { daemon_rights: true, ..Capabilities::default() }
    }

    fn create_v_net_root(
        &self,
        _: Context<'_>,
        _: &Extension,
    ) -> Result<(Extension, Found), Status> {
        Ok((Arc::new(()), self.0.found(NetName::root())))
    }

    fn lookup(&self, _: Context<'_>, parent: FileRef<'_>, name: &Name) -> Result<Found, Status> {
        let path = name_of(&parent)?.join(name)?;
        match self.0.listing.is_directory(&path) {
            true => Ok(self.0.found(path)),
            false => Err(Status::ObjectNameNotFound),
        }
    }

    fn make_node(
        &self,
        _: Context<'_>,
        _: FileRef<'_>,
        _: &Name,
        _: &NewNode,
        _: Ownership,
    ) -> Result<Found, Status> {
        Err(READ_ONLY)
    }

    fn link(
        &self,
        _: Context<'_>,
        _: FileRef<'_>,
        _: FileRef<'_>,
        _: &Name,
    ) -> Result<Attributes, Status> {
        Err(READ_ONLY)
    }

    fn unlink(&self, _: Context<'_>, _: FileRef<'_>, _: &Name) -> Result<(), Status> {
        Err(READ_ONLY)
    }

    fn remove_directory(&self, _: Context<'_>, _: FileRef<'_>, _: &Name) -> Result<(), Status> {
        Err(READ_ONLY)
    }

    fn rename(
        &self,
        _: Context<'_>,
        _: (FileRef<'_>, &Name),
        _: (FileRef<'_>, &Name),
        _: RenameMode,
    ) -> Result<(), Status> {
        Err(READ_ONLY)
    }

    fn create(
        &self,
        _: Context<'_>,
        _: FileRef<'_>,
        _: &Name,
        _: Ownership,
        _: OpenOptions,
    ) -> Result<(Found, Opened), Status> {
        Err(READ_ONLY)
    }

    fn open(&self, _: Context<'_>, _: FileRef<'_>, _: OpenOptions) -> Result<Opened, Status> {
        let names = Mutex::new(Rank::Redirector, Arc::from([]));
        Ok(Opened { extension: Arc::new(Names(names)), buffering: Buffering::default() })
    }

    fn reclaim_open(
        &self,
        context: Context<'_>,
        file: FileRef<'_>,
        options: OpenOptions,
    ) -> Result<Opened, Status> {
        self.open(context, file, options)
    }

    fn query_file_information(
        &self,
        _: Context<'_>,
        file: FileRef<'_>,
        _: Option<OpenRef<'_>>,
    ) -> Result<Attributes, Status> {
        name_of(&file).map(|_| self.0.attributes())
    }

    fn set_file_information(
        &self,
        _: Context<'_>,
        _: FileRef<'_>,
        _: Option<OpenRef<'_>>,
        _: SetAttributes,
    ) -> Result<Attributes, Status> {
        Err(READ_ONLY)
    }

    fn query_directory(
        &self,
        _: Context<'_>,
        directory: OpenRef<'_>,
        query: DirectoryQuery,
    ) -> Result<Vec<DirectoryEntry>, Status> {
        let path = name_of(&directory.file)?;
        let names: &Names = directory.extension.downcast_ref().ok_or(Status::InvalidHandle)?;
        if query.from == 0 {
            let now = self.0.listing.list(path, None, usize::MAX);
            *names.0.lock() = now.ok_or(Status::ObjectNameNotFound)?.into();
        }
        let names = names.0.lock().clone();
        let (mut entries, mut used) = (Vec::new(), 0);
        let from = usize::try_from(query.from).unwrap_or(usize::MAX);
        for (at, name) in names.iter().enumerate().skip(from) {
            let plus = if query.with_files { ENTRY_PLUS_BYTES } else { 0 };
            used += (ENTRY_BYTES + name.as_bytes().len()).next_multiple_of(8) + plus;
            if used > query.budget_bytes && !entries.is_empty() {
                break;
            }
            let child = path.join(name)?;
            let own = self.0.listing.is_directory(&child);
            let number = match own {
                true => Some(self.0.number(&child)),
                false => self.0.listing.share_number(&child),
            };
            // One that was released this very moment.
            let Some(number) = number else { continue };
            entries.push(DirectoryEntry {
                name: name.clone(),
                number,
                kind: FileKind::Directory,
                next: at as u64 + 1,
                found: (query.with_files && own).then(|| self.0.found(child)),
            });
        }
        Ok(entries)
    }

    /// The root sums nothing up: what is free is a question to a share.
    fn query_volume_information(&self, _: Context<'_>) -> Result<VolumeInformation, Status> {
        let name_bytes_max = u32::try_from(NAME_BYTES_MAX).unwrap_or(u32::MAX);
        let block_size = BLOCK_BYTES;
        Ok(VolumeInformation { block_size, name_bytes_max, ..VolumeInformation::default() })
    }
}
