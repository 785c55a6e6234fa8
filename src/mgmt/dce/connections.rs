//! The connections there are, each with the thread that serves it, so that all can be cut and
//! joined.

use crate::base::clock::Clock;
use crate::base::sync::{Condvar, Mutex, Rank};
use crate::base::threads::Thread;
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// A connection of either kind.
#[derive(Debug)]
pub(in crate::mgmt::dce) enum Stream {
    Tcp(TcpStream),
    Local(UnixStream),
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Local(stream) => stream.as_fd(),
        }
    }
}

impl Stream {
    pub(in crate::mgmt::dce) fn set_read_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(limit)),
            Self::Local(stream) => stream.set_read_timeout(Some(limit)),
        }
    }

    pub(in crate::mgmt::dce) fn set_write_timeout(&self, limit: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                // An answer is one write: it is not to wait for more.
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(limit))
            }
            Self::Local(stream) => stream.set_write_timeout(Some(limit)),
        }
    }

    pub(in crate::mgmt::dce) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).read(into),
            Self::Local(stream) => (&mut &*stream).read(into),
        }
    }

    pub(in crate::mgmt::dce) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write(bytes),
            Self::Local(stream) => (&mut &*stream).write(bytes),
        }
    }

    /// Cuts a direction; one that is cut already is.
    pub(in crate::mgmt::dce) fn cut(&self, how: Shutdown) {
        match shutdown(self, how) {
            Ok(()) | Err(Errno::NOTCONN) => {}
            Err(error) => log::debug!("cutting a connection: {error}"),
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(in crate::mgmt::dce) struct Connections {
    table: Mutex<Table>,
    /// One left.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    /// By number; and the endpoint they came by.
    open: HashMap<u64, (usize, Arc<Stream>)>,
    threads: HashMap<u64, Thread>,
    /// Association groups, each with those that are in it.
    groups: HashMap<u32, HashSet<u64>>,
    last_group: u32,
}

/// Numbers of association groups begin here: 0 is none, and small ones are what programs guess.
const FIRST_GROUP: u32 = 0x1000;

impl Connections {
    pub(in crate::mgmt::dce) fn new() -> Self {
        let table = Table { last_group: FIRST_GROUP, ..Table::default() };
        Self { table: Mutex::new(Rank::Server, table), changed: Condvar::new() }
    }

    /// Adds one that came by `endpoint`, which may have `room`.
    pub(in crate::mgmt::dce) fn enter(
        &self,
        endpoint: usize,
        stream: &Arc<Stream>,
        room: usize,
    ) -> Option<u64> {
        let mut table = self.table.lock();
        if table.open.values().filter(|(by, _)| *by == endpoint).count() >= room {
            return None;
        }
        table.last += 1;
        let id = table.last;
        table.open.insert(id, (endpoint, Arc::clone(stream)));
        Some(id)
    }

    /// Gives one its thread.
    pub(in crate::mgmt::dce) fn served_by(&self, id: u64, thread: Thread) {
        self.table.lock().threads.insert(id, thread);
    }

    /// Takes one off, on its own thread, and joins the threads that ended before.
    pub(in crate::mgmt::dce) fn leave(&self, id: u64) {
        let ended: Vec<Thread> = {
            let mut table = self.table.lock();
            let Table { open, threads, groups, .. } = &mut *table;
            let ended: Vec<u64> =
                threads.keys().filter(|other| !open.contains_key(other)).copied().collect();
            open.remove(&id);
            groups.retain(|_, members| {
                members.remove(&id);
                !members.is_empty()
            });
            ended.iter().filter_map(|other| threads.remove(other)).collect()
        };
        self.changed.notify_all();
        drop(ended);
    }

    /// A new association group of this connection's.
    pub(in crate::mgmt::dce) fn create_group(&self, id: u64) -> u32 {
        let mut table = self.table.lock();
        loop {
            table.last_group = table.last_group.wrapping_add(1).max(FIRST_GROUP);
            let group = table.last_group;
            if let Entry::Vacant(free) = table.groups.entry(group) {
                free.insert(HashSet::from([id]));
                return group;
            }
        }
    }

    /// Joins a group of a connection that came by the same endpoint.
    pub(in crate::mgmt::dce) fn join_group(&self, id: u64, group: u32) -> bool {
        let mut table = self.table.lock();
        let Table { open, groups, .. } = &mut *table;
        let by = |id: &u64| open.get(id).map(|(endpoint, _)| *endpoint);
        match groups.get_mut(&group) {
            Some(members) if members.iter().next().and_then(by) == by(&id) => {
                members.insert(id);
                true
            }
            Some(_) | None => false,
        }
    }

    pub(in crate::mgmt::dce) fn count(&self) -> usize {
        self.table.lock().open.len()
    }

    /// Cuts a direction of every one.
    pub(in crate::mgmt::dce) fn cut(&self, how: Shutdown) {
        let open: Vec<Arc<Stream>> =
            self.table.lock().open.values().map(|(_, stream)| Arc::clone(stream)).collect();
        open.iter().for_each(|stream| stream.cut(how));
    }

    /// Waits up to `limit` for the last one to leave.
    pub(in crate::mgmt::dce) fn wait_until_empty(
        &self,
        clock: &dyn Clock,
        limit: Duration,
    ) -> bool {
        let deadline = clock.now().after(limit);
        let mut table = self.table.lock();
        while !table.open.is_empty() {
            let left = deadline.since(clock.now());
            if left.is_zero() {
                return false;
            }
            self.changed.wait_for(&mut table, left);
        }
        true
    }

    /// Waits up to `limit` for one to leave.
    pub(in crate::mgmt::dce) fn wait_for_room(&self, limit: Duration) {
        let mut table = self.table.lock();
        self.changed.wait_for(&mut table, limit);
    }

    /// Joins all threads; those of connections that are still open are given up.
    pub(in crate::mgmt::dce) fn join(&self) {
        let Table { open, mut threads, .. } = std::mem::take(&mut *self.table.lock());
        for id in open.keys() {
            log::error!("giving up on a thread of remote management");
            threads.remove(id).into_iter().for_each(Thread::abandon);
        }
        threads.into_values().for_each(Thread::join);
    }
}
