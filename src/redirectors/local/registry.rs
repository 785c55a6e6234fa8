//! Which files are known, so that a file seen twice is one extension, one number, one descriptor.

use super::fds::FdCache;
use super::file::LocalFile;
use super::node::FileKey;
use super::numbers::Numbers;
use crate::base::shrink::after_removal;
use crate::base::sync::{Mutex, Rank};
use crate::mrx::request::FileKind;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};

/// Enough that threads rarely meet, few enough to be cheap.
const SHARDS: usize = 16;

/// What all known files of one instance share.
pub(super) struct Registry {
    pub(super) known: KnownFiles,
    pub(super) fds: FdCache,
    pub(super) numbers: Numbers,
}

impl Registry {
    /// For a root on this device, with at most `max_fds` descriptors for named files.
    pub(super) fn new(root_device: u64, max_fds: usize) -> Arc<Self> {
        Arc::new(Self {
            known: KnownFiles::new(),
            fds: FdCache::new(max_fds),
            numbers: Numbers::new(root_device),
        })
    }
}

type Shard = Mutex<HashMap<FileKey, Weak<LocalFile>>>;

/// The files somebody still refers to, by identity.
pub(super) struct KnownFiles {
    hasher: RandomState,
    shards: [Shard; SHARDS],
}

impl KnownFiles {
    fn new() -> Self {
        let shards = std::array::from_fn(|_| Mutex::new(Rank::Redirector, HashMap::new()));
        Self { hasher: RandomState::new(), shards }
    }

    fn shard(&self, key: &FileKey) -> &Shard {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// The known file, if it is known.
    pub(super) fn get(&self, key: &FileKey) -> Option<Arc<LocalFile>> {
        self.shard(key).lock().get(key).and_then(Weak::upgrade)
    }

    /// The known file, or the one `make` makes, which is known from now on. True if it was known.
    pub(super) fn get_or_insert(
        &self,
        key: &FileKey,
        kind: FileKind,
        make: impl FnOnce() -> Arc<LocalFile>,
    ) -> (Arc<LocalFile>, bool) {
        let mut shard = self.shard(key).lock();
        let old = shard.get(key).and_then(Weak::upgrade);
        if let Some(file) = old {
            // An inode number given away again within one tick of the clock: not the same file.
            if file.kind == kind {
                return (file, true);
            }
            let file_made = make();
            shard.insert(*key, Arc::downgrade(&file_made));
            drop(shard);
            drop(file);
            return (file_made, false);
        }
        let file = make();
        shard.insert(*key, Arc::downgrade(&file));
        (file, false)
    }

    /// Called at the end of a file: takes it out unless its key is another one's by now.
    pub(super) fn forget(&self, file: &LocalFile) {
        let mut shard = self.shard(&file.key).lock();
        if shard.get(&file.key).is_some_and(|weak| std::ptr::eq(weak.as_ptr(), file)) {
            shard.remove(&file.key);
            after_removal(&mut shard);
        }
    }
}
