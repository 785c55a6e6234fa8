//! Listings. An entry with its file is counted before it is sent, and undone if it did not fit.

use crate::base::ids::{HandleNumber, NodeNumber};
use crate::base::status::Status;
use crate::front::adapter::front::{Call, Front, Refusable};
use crate::front::translate;
use crate::rdbss::operation::{Answer, Listed, Operation};
use fuser::{FileHandle, Generation, INodeNo, ReplyDirectory, ReplyDirectoryPlus};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A page: the least the kernel's buffer can be, and all it is before Linux 6.16.
const ROOM_MIN: usize = 4096;
/// What glibc's `readdir` asks for, and newer kernels pass on.
const ROOM_MAX: usize = 32 * 1024;
/// `sizeof(struct fuse_dirent)`.
const ENTRY_BYTES: usize = 24;
/// What READDIRPLUS puts before it.
const FILE_BYTES: usize = 128;

/// How much fits into the kernel's buffer. fuser does not say (fuse.md 1.3), and what does not fit
/// was asked of the server for nothing: so it is learned.
pub(super) struct Room(AtomicUsize);

impl Default for Room {
    fn default() -> Self {
        Self(AtomicUsize::new(ROOM_MAX))
    }
}

impl Room {
    /// What to ask the core for. The beginning of a listing tries for more than is known to fit.
    fn budget(&self, from: u64) -> usize {
        let known = self.0.load(Ordering::Relaxed);
        if from == 0 { (2 * known).min(ROOM_MAX) } else { known }
    }

    /// The buffer was full after this many bytes.
    fn full(&self, used: usize) {
        let pages = used.next_multiple_of(ROOM_MIN).clamp(ROOM_MIN, ROOM_MAX);
        self.0.store(pages, Ordering::Relaxed);
    }

    /// This many bytes fitted.
    fn fitted(&self, used: usize) {
        if used > self.0.load(Ordering::Relaxed) {
            self.full(used);
        }
    }
}

/// A directory that is being listed.
#[derive(Clone, Copy)]
pub(super) struct Directory {
    /// Which.
    pub number: INodeNo,
    /// As opened.
    pub handle: FileHandle,
}

/// A reply that takes entries.
pub(super) trait Page: Refusable {
    /// Do the entries bring their files?
    const WITH_FILES: bool;
    /// Puts an entry in; false when it is full.
    fn put(&mut self, front: &Front, listed: &Listed) -> bool;
    /// Sends what was put in.
    fn send(self);
}

impl Page for ReplyDirectory {
    const WITH_FILES: bool = false;

    fn put(&mut self, _front: &Front, listed: &Listed) -> bool {
        let name = OsStr::from_bytes(&listed.name);
        let kind = translate::file_type(listed.kind);
        !self.add(INodeNo(listed.number), listed.next, kind, name)
    }

    fn send(self) {
        self.ok();
    }
}

impl Page for ReplyDirectoryPlus {
    const WITH_FILES: bool = true;

    fn put(&mut self, front: &Front, listed: &Listed) -> bool {
        let name = OsStr::from_bytes(&listed.name);
        let options = &front.options;
        if let Some(found) = listed.file.as_ref().filter(|found| front.count(found)) {
            let number = found.node.number();
            // A share's root, listed above it: its attributes are what was last known of it, and
            // the kernel asks again before it believes them.
            let stale = found.node.is_root();
            let entry = options.entry_lifetime(&found.attributes);
            let lifetime = entry.min(options.attribute_lifetime(&found.attributes));
            let lifetime = if stale { Duration::ZERO } else { translate::lifetime(lifetime) };
            let attributes = translate::attributes(number, &found.attributes);
            let generation = Generation(found.node.reuse_generation());
            let next = listed.next;
            let full = self.add(INodeNo(number.0), next, name, &lifetime, &attributes, generation);
            if full {
                front.inodes.forget(number, 1);
            }
            return !full;
        }
        // A name without its file. fuser sends one number for both the entry and the file, and a
        // file's number is a lookup to the kernel, but for `.` and `..`, which it does not count.
        let mut attributes = translate::no_file(listed.kind);
        if listed.name == b"." || listed.name == b".." {
            attributes.ino = INodeNo(listed.number);
        }
        !self.add(attributes.ino, listed.next, name, &Duration::ZERO, &attributes, Generation(0))
    }

    fn send(self) {
        self.ok();
    }
}

impl Front {
    /// READDIR and READDIRPLUS from a position on.
    pub(super) fn list<P: Page>(
        self: &Arc<Self>,
        call: Call,
        directory: Directory,
        from: u64,
        page: P,
    ) {
        let operation = Operation::ReadDirectory {
            handle: HandleNumber(directory.handle.0),
            from,
            budget_bytes: self.room.budget(from),
            with_files: P::WITH_FILES,
        };
        self.submit(call, operation, page, move |front, call, page, answer| {
            front.fill(call, directory, page, answer);
        });
    }

    fn fill<P: Page>(
        self: &Arc<Self>,
        call: Call,
        directory: Directory,
        mut page: P,
        answer: Result<Answer, Status>,
    ) {
        let listing = match answer {
            Ok(Answer::Listing(listing)) => listing,
            Ok(other) => return page.refuse(self.wrong(call.word, &other)),
            Err(status) => return page.refuse(translate::errno(status)),
        };
        let (mut used, mut hidden) = (0, None);
        for listed in &listing {
            // The control directory hides whatever the server has under its name.
            if self.is_control_name(directory.number, OsStr::from_bytes(&listed.name)) {
                hidden = Some(listed.next);
                continue;
            }
            if !page.put(self, listed) {
                self.room.full(used);
                return page.send();
            }
            used += bytes(listed.name.len(), P::WITH_FILES);
        }
        match hidden {
            // Sent empty, it would be the end of the listing.
            Some(next) if used == 0 => self.list(call, directory, next, page),
            _ => {
                self.room.fitted(used);
                page.send();
            }
        }
    }
}

/// Bytes an entry takes of the kernel's buffer.
const fn bytes(name: usize, with_file: bool) -> usize {
    let entry = (ENTRY_BYTES + name).next_multiple_of(8);
    if with_file { FILE_BYTES + entry } else { entry }
}

/// Number of the root, for the control directory's `..`.
pub(super) const ROOT: NodeNumber = NodeNumber::ROOT;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_learned_both_ways() {
        let room = Room::default();
        assert_eq!(room.budget(0), ROOM_MAX);
        room.full(4000);
        assert_eq!((room.budget(0), room.budget(5)), (2 * ROOM_MIN, ROOM_MIN));
        room.fitted(3000);
        assert_eq!(room.budget(5), ROOM_MIN, "it proves nothing");
        room.fitted(7000);
        assert_eq!((room.budget(0), room.budget(5)), (4 * ROOM_MIN, 2 * ROOM_MIN));
        room.full(0);
        assert_eq!(room.budget(5), ROOM_MIN);
    }

    #[test]
    fn entries_take_what_the_kernel_says() {
        assert_eq!(bytes(1, false), 32);
        assert_eq!(bytes(8, false), 32);
        assert_eq!(bytes(9, true), 40 + 128);
    }
}
