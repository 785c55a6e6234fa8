//! The requests in flight: who asked for what, and since when.
//!
//! Sharded by serial number so that arrivals do not meet. Holds each context strongly until it is
//! taken out; looking at the table (`minirdr requests`, the watcher, a stop) clones one shard at a
//! time.

use crate::base::ids::SerialNumber;
use crate::base::sync::atomic::{AtomicU64, Ordering};
use crate::base::sync::{Mutex, Rank};
use crate::rdbss::context::Context;
use std::collections::HashMap;
use std::sync::Arc;

const SHARDS: usize = 16;

/// The table.
#[derive(Debug)]
pub struct RequestTable {
    next: AtomicU64,
    shards: [Mutex<HashMap<SerialNumber, Arc<Context>>>; SHARDS],
}

impl Default for RequestTable {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(1),
            shards: std::array::from_fn(|_| Mutex::new(Rank::Requests, HashMap::new())),
        }
    }
}

impl RequestTable {
    /// The next serial number.
    pub fn serial(&self) -> SerialNumber {
        SerialNumber(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn shard(&self, serial: SerialNumber) -> &Mutex<HashMap<SerialNumber, Arc<Context>>> {
        &self.shards[serial.0 as usize % SHARDS]
    }

    /// Puts a request in.
    pub fn insert(&self, serial: SerialNumber, context: Arc<Context>) {
        self.shard(serial).lock().insert(serial, context);
    }

    /// Takes it out when its callout has ended.
    pub fn remove(&self, serial: SerialNumber) {
        let removed = self.shard(serial).lock().remove(&serial);
        // The last reference may be this one: it goes with no lock held.
        drop(removed);
    }

    /// All that are in flight, in order of arrival.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Arc<Context>> {
        let mut all: Vec<(SerialNumber, Arc<Context>)> = Vec::new();
        for shard in &self.shards {
            all.extend(shard.lock().iter().map(|(serial, context)| (*serial, context.clone())));
        }
        all.sort_by_key(|(serial, _)| *serial);
        all.into_iter().map(|(_, context)| context).collect()
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Context({} {:?})", self.operation(), self.subject())
    }
}
