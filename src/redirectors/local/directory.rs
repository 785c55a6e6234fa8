//! Listings, in the file system's own order and with its own positions.
//!
//! An open directory reads ahead from its descriptor and remembers which position its next entry
//! has. A query that goes on where the last one ended takes from there; any other seeks. The
//! positions are the backing file system's (`d_off`), which stay good while names come and go.

use super::file::LocalFile;
use super::node::{kind_of, node_at};
use super::open::LocalOpen;
use super::tree::Tree;
use crate::base::name::Name;
use crate::base::status::Status;
use crate::mrx::request::{DirectoryEntry, DirectoryQuery, FileKind};
use rustix::fd::OwnedFd;
use rustix::fs::{RawDir, SeekFrom};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes read from a directory at a time.
const READ_AHEAD: usize = 32 * 1024;

/// Where an open directory is being read.
#[derive(Default)]
pub(super) struct Listing {
    /// Position of the first entry in `ahead`, as its predecessor's `next` said.
    at: u64,
    /// Read and not yet asked for. The descriptor's own position is behind the last one.
    ahead: VecDeque<Entry>,
}

struct Entry {
    name: Name,
    inode: u64,
    /// None where the file system does not say.
    kind: Option<FileKind>,
    next: u64,
}

impl Listing {
    /// Goes to a position; to the beginning always anew, so that a rewind shows what is there now.
    fn seek(&mut self, fd: &OwnedFd, from: u64) -> Result<(), Errno> {
        if from == 0 || from != self.at {
            self.ahead.clear();
            rustix::fs::seek(fd, SeekFrom::Start(from))?;
            self.at = from;
        }
        Ok(())
    }

    /// Takes entries up to the budget; none at the end.
    fn take(
        &mut self,
        fd: &OwnedFd,
        budget_bytes: usize,
        with_files: bool,
    ) -> Result<Vec<Entry>, Errno> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        loop {
            if self.ahead.is_empty() {
                self.read_ahead(fd)?;
            }
            let Some(entry) = self.ahead.front() else { return Ok(taken) };
            bytes += entry_bytes(&entry.name, with_files);
            if bytes > budget_bytes && !taken.is_empty() {
                return Ok(taken);
            }
            self.at = entry.next;
            taken.extend(self.ahead.pop_front());
        }
    }

    /// Reads the next entries; none at the end.
    fn read_ahead(&mut self, fd: &OwnedFd) -> Result<(), Errno> {
        let mut buffer = Vec::with_capacity(READ_AHEAD);
        while self.ahead.is_empty() {
            let mut entries = RawDir::new(fd, buffer.spare_capacity_mut());
            loop {
                let Some(entry) = entries.next() else { return Ok(()) };
                let entry = match entry {
                    Ok(entry) => entry,
                    // Removed while it is open: an empty directory.
                    Err(Errno::NOENT) => return Ok(()),
                    Err(errno) => return Err(errno),
                };
                // `.` and `..` are no names, and are the core's business.
                if let Ok(name) = Name::new(entry.file_name().to_bytes()) {
                    let (inode, next) = (entry.ino(), entry.next_entry_cookie());
                    self.ahead.push_back(Entry {
                        name,
                        inode,
                        kind: kind_of(entry.file_type()),
                        next,
                    });
                }
                if entries.is_buffer_empty() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// What an entry fills of a FUSE reply ([`DirectoryQuery::budget_bytes`]).
fn entry_bytes(name: &Name, with_files: bool) -> usize {
    let bytes = (24 + name.as_bytes().len()).next_multiple_of(8);
    if with_files { bytes + 128 } else { bytes }
}

impl Tree {
    /// MRxQueryDirectory.
    pub(super) fn list(
        &self,
        file: &Arc<LocalFile>,
        open: &LocalOpen,
        query: DirectoryQuery,
    ) -> Result<Vec<DirectoryEntry>, Status> {
        let Some(listing) = &open.listing else { return Err(Errno::NOTDIR.into()) };
        let mut from = query.from;
        loop {
            let taken = {
                let mut listing = listing.lock();
                listing.seek(&open.fd, from)?;
                listing.take(&open.fd, query.budget_bytes, query.with_files)?
            };
            let Some(last) = taken.last().map(|entry| entry.next) else { return Ok(Vec::new()) };
            let entries: Vec<_> = taken
                .into_iter()
                .filter_map(|entry| self.entry(file, open, entry, query.with_files))
                .collect();
            if !entries.is_empty() {
                return Ok(entries);
            }
            // All of them vanished since they were read; an empty answer would mean the end.
            from = last;
        }
    }

    /// One entry as the contract wants it; none if nothing is known of it and it has vanished.
    fn entry(
        &self,
        parent: &Arc<LocalFile>,
        open: &LocalOpen,
        entry: Entry,
        with_files: bool,
    ) -> Option<DirectoryEntry> {
        let Entry { name, inode, kind, next } = entry;
        let node = if with_files || kind.is_none() {
            node_at(&open.fd, name.as_bytes()).ok()
        } else {
            None
        };
        let seen = node.map(|node| (node.attributes.kind, self.adopt(parent, &name, &node), node));
        let (kind, number, found) = match seen {
            Some((kind, file, node)) => {
                let number = file.number;
                (kind, number, with_files.then(|| self.found(file, &node)))
            }
            // A mount point here shows the number it covers, as it does in any directory.
            None => (kind?, self.registry.numbers.number(parent.key.device, inode), None),
        };
        Some(DirectoryEntry { name, number, kind, next, found })
    }
}
