//! Who may ask for what (management.md §2): a pure function, asked on every call before any effect.
//!
//! Keyed by an enum of ours, because varlink, DCE and Windows each number the operations
//! differently. `docs/MANAGEMENT.md` prints the table; a test holds the two together. Calls from
//! inside the process and from signals are never asked about. What a configuration adds to the
//! table is in [`RpcPolicy`].

use crate::base::ids::Caller;
use crate::base::stop::{
    Check, HandleInfo, Loss, Notice, OnDeadline, Report, RequestInfo, StopMode, StopOptions,
};
use crate::base::unsent::UnsentEntry;
use crate::mgmt::network::Network;
use crate::mgmt::proto::{Event, EventKind, Holder, Method, MountStatus};
use std::net::SocketAddr;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// What this service is: names, versions, interfaces.
    Inquire,
    /// State, numbers, events, waiting: nothing changes.
    Read,
    /// A stop that lets what runs finish, or cancels what can be.
    Stop,
    /// A stop that waits for nothing, at once or at its deadline: others' data may be lost.
    Abort,
    /// Taking a handle from its holder.
    Detach,
    /// A start.
    Start,
    /// Refusing new opens.
    Pause,
    /// Taking a pause or a draining stop back.
    Resume,
    /// Writing other people's unsent data to the server, or throwing it away.
    Settle,
    /// Remote management: which interfaces are there (DCE 0, Windows 0).
    RpcInterfaces,
    /// Remote management: numbers of calls (DCE 1, Windows 2).
    RpcStatistics,
    /// Remote management: does it listen (DCE 2, Windows 3)?
    RpcIsListening,
    /// Remote management: stop the listening (DCE 3, Windows 4).
    RpcStopListening,
    /// Remote management: the server's principal (DCE 4, Windows 1).
    RpcPrincipal,
}

impl Operation {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 14] = [
        Self::Inquire,
        Self::Read,
        Self::Stop,
        Self::Abort,
        Self::Detach,
        Self::Start,
        Self::Pause,
        Self::Resume,
        Self::Settle,
        Self::RpcInterfaces,
        Self::RpcStatistics,
        Self::RpcIsListening,
        Self::RpcStopListening,
        Self::RpcPrincipal,
    ];

    /// Its word in the table.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Inquire => "inquire",
            Self::Read => "read",
            Self::Stop => "stop",
            Self::Abort => "abort",
            Self::Detach => "detach a handle of",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Settle => "settle",
            Self::RpcInterfaces => "RPC interfaces",
            Self::RpcStatistics => "RPC statistics",
            Self::RpcIsListening => "RPC is listening",
            Self::RpcStopListening => "RPC stop listening",
            Self::RpcPrincipal => "RPC principal",
        }
    }

    /// What it does to a mount, in refusals.
    const fn deed(self) -> &'static str {
        match self {
            Self::Settle => "replay or discard what is unsent of",
            Self::RpcInterfaces => "list the RPC interfaces of",
            Self::RpcStatistics => "count the RPC calls of",
            Self::RpcIsListening => "ask for the RPC listening of",
            Self::RpcStopListening => "stop the RPC listening of",
            Self::RpcPrincipal => "ask for the RPC principal of",
            other => other.word(),
        }
    }

    /// What a method asks for, before its parameters are looked at; for `Stop` see
    /// [`Operation::of_stop`].
    #[must_use]
    pub const fn of(method: Method) -> Self {
        match method {
            Method::List
            | Method::Status
            | Method::Handles
            | Method::Requests
            | Method::Check
            | Method::Wait
            | Method::Events
            | Method::Metrics
            | Method::Unsent => Self::Read,
            Method::Stop => Self::Stop,
            Method::Detach => Self::Detach,
            Method::Start => Self::Start,
            Method::Pause => Self::Pause,
            Method::Resume => Self::Resume,
            Method::Shutdown => Self::RpcStopListening,
            Method::Replay | Method::Discard => Self::Settle,
        }
    }

    /// What a stop with these options asks for.
    #[must_use]
    pub fn of_stop(options: &StopOptions) -> Self {
        let aborts = options.mode == StopMode::Abort || options.on_deadline == OnDeadline::Abort;
        if aborts { Self::Abort } else { Self::Stop }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over the Unix socket; as the kernel says.
    Local {
        /// Its process; 0 when that is in another pid namespace.
        pid: u32,
        /// Its user.
        uid: u32,
        /// Its groups, the primary one first.
        gids: Vec<u32>,
    },
    /// Over a network, 127.0.0.1 included: no identity.
    Remote(SocketAddr),
}

impl Peer {
    /// The peer as the core records it.
    #[must_use]
    pub fn caller(&self) -> Caller {
        match self {
            Self::Local { pid, uid, gids } => {
                Caller { pid: *pid, uid: *uid, gid: gids.first().copied().unwrap_or(u32::MAX) }
            }
            // The kernel's "nobody": never to be mistaken for root.
            Self::Remote(_) => Caller { pid: 0, uid: u32::MAX, gid: u32::MAX },
        }
    }
}

/// What a peer is to a mount: the columns of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// User 0.
    Root,
    /// The daemon's user.
    Owner,
    /// In the configured group.
    Group,
    /// Any other user of this machine.
    Other,
    /// From a network.
    Remote,
}

impl Standing {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 5] = [Self::Root, Self::Owner, Self::Group, Self::Other, Self::Remote];

    /// Its word in the table.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Owner => "owner",
            Self::Group => "group",
            Self::Other => "other",
            Self::Remote => "remote",
        }
    }
}

/// Whose mount it is, and who else may act for him.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The daemon's user.
    pub owner: u32,
    /// A group whose members may stop and start, and see paths.
    pub group: Option<u32>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allow,
    /// Nothing may happen.
    Deny(Denial),
}

/// Why not, for the peer to read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Asked by a local user without the right to it.
    #[error("user {uid} may not {} this mount: only {who_may} may", operation.deed())]
    User {
        /// What was asked for.
        operation: Operation,
        /// By whom.
        uid: u32,
        /// Those who may, in words.
        who_may: &'static str,
    },
    /// Asked from a network.
    #[error("nobody may {} this mount from {from}", operation.deed())]
    Remote {
        /// What was asked for.
        operation: Operation,
        /// From where.
        from: SocketAddr,
    },
}

impl Policy {
    /// What `peer` is to the mount.
    #[must_use]
    pub fn standing(&self, peer: &Peer) -> Standing {
        match peer {
            Peer::Remote(_) => Standing::Remote,
            Peer::Local { uid: 0, .. } => Standing::Root,
            Peer::Local { uid, .. } if *uid == self.owner => Standing::Owner,
            Peer::Local { gids, .. } if self.group.is_some_and(|group| gids.contains(&group)) => {
                Standing::Group
            }
            Peer::Local { .. } => Standing::Other,
        }
    }

    /// May `peer` ask for `operation`?
    #[must_use]
    pub fn authorize(&self, operation: Operation, peer: &Peer) -> Decision {
        if allows(operation, self.standing(peer)) {
            return Decision::Allow;
        }
        Decision::Deny(match peer {
            Peer::Local { uid, .. } => {
                Denial::User { operation, uid: *uid, who_may: self.who_may(operation) }
            }
            Peer::Remote(from) => Denial::Remote { operation, from: *from },
        })
    }

    /// The people of a refusal.
    const fn who_may(&self, operation: Operation) -> &'static str {
        match operation {
            Operation::Inquire | Operation::Read => "users of this machine",
            Operation::RpcInterfaces
            | Operation::RpcStatistics
            | Operation::RpcIsListening
            | Operation::RpcPrincipal => "everybody",
            Operation::Abort | Operation::Detach | Operation::Settle => "root and its owner",
            Operation::Stop
            | Operation::Start
            | Operation::Pause
            | Operation::Resume
            | Operation::RpcStopListening => {
                if self.group.is_some() {
                    "root, its owner and its group"
                } else {
                    "root and its owner"
                }
            }
        }
    }

    /// How much of an answer `peer` may see.
    #[must_use]
    pub fn disclosure(&self, peer: &Peer) -> Disclosure {
        match self.standing(peer) {
            Standing::Root | Standing::Owner | Standing::Group => Disclosure::Full,
            Standing::Other | Standing::Remote => Disclosure::Redacted,
        }
    }
}

/// The policy of remote management: the table, and the networks from which a configuration allows
/// to stop the listening. None is allowed unless it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcPolicy {
    /// The table's.
    pub base: Policy,
    /// From here the listening may be stopped.
    pub may_stop: Vec<Network>,
}

impl RpcPolicy {
    /// May `peer` ask for `operation`?
    #[must_use]
    pub fn authorize(&self, operation: Operation, peer: &Peer) -> Decision {
        match (operation, peer) {
            (Operation::RpcStopListening, Peer::Remote(from))
                if self.may_stop.iter().any(|network| network.contains(from.ip())) =>
            {
                Decision::Allow
            }
            _ => self.base.authorize(operation, peer),
        }
    }
}

/// The table.
const fn allows(operation: Operation, standing: Standing) -> bool {
    match (operation, standing) {
        (_, Standing::Root | Standing::Owner)
        | (
            Operation::RpcInterfaces
            | Operation::RpcStatistics
            | Operation::RpcIsListening
            | Operation::RpcPrincipal,
            _,
        ) => true,
        (_, Standing::Remote)
        | (Operation::Abort | Operation::Detach | Operation::Settle, Standing::Group) => false,
        (_, Standing::Group) | (Operation::Inquire | Operation::Read, Standing::Other) => true,
        (
            Operation::Stop
            | Operation::Abort
            | Operation::Detach
            | Operation::Start
            | Operation::Pause
            | Operation::Resume
            | Operation::Settle
            | Operation::RpcStopListening,
            Standing::Other,
        ) => false,
    }
}

/// How much of an answer a peer may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disclosure {
    /// All of it.
    Full,
    /// Without paths and process names: numbers, users and times only.
    Redacted,
}

impl Disclosure {
    /// Is something hidden?
    #[must_use]
    pub fn hides(self) -> bool {
        self == Self::Redacted
    }

    /// Takes out of `answer` what the peer may not see.
    #[must_use]
    pub fn apply<T: Redact>(self, mut answer: T) -> T {
        if self.hides() {
            answer.redact();
        }
        answer
    }
}

/// An answer with something to hide: paths become empty, names of processes unknown.
pub trait Redact {
    /// Takes out paths and process names.
    fn redact(&mut self);
}

impl Redact for HandleInfo {
    fn redact(&mut self) {
        self.path.clear();
    }
}

impl Redact for RequestInfo {
    fn redact(&mut self) {
        self.path.clear();
    }
}

impl Redact for Holder {
    fn redact(&mut self) {
        self.path.clear();
        self.path_bytes = None;
        self.command = None;
        self.container = None;
    }
}

impl Redact for Report {
    fn redact(&mut self) {
        self.survivors.redact();
        self.losses.redact();
    }
}

impl Redact for Loss {
    fn redact(&mut self) {
        self.path.clear();
        self.command = None;
        self.kept_in = None;
    }
}

impl Redact for UnsentEntry {
    fn redact(&mut self) {
        self.path.clear();
        self.command = None;
        self.kept_in = self.kept_in.take().map(|_| String::new());
        // Words of the state directory, and of the file it could not read there.
        self.error.clear();
    }
}

impl Redact for Check {
    fn redact(&mut self) {
        self.handles.redact();
        self.requests.redact();
    }
}

impl Redact for MountStatus {
    fn redact(&mut self) {
        // The source and the mount point stay: every user reads them in /proc/self/mountinfo.
        self.last_stop.redact();
        self.last_start.redact();
    }
}

impl Redact for Event {
    fn redact(&mut self) {
        match &mut self.what {
            EventKind::Notice(Notice::Loss(loss)) => loss.redact(),
            EventKind::Notice(Notice::Arrived { path, .. }) => path.clear(),
            EventKind::Notice(_) | EventKind::Overflow { .. } => {}
        }
    }
}

impl<T: Redact> Redact for Vec<T> {
    fn redact(&mut self) {
        self.iter_mut().for_each(Redact::redact);
    }
}

impl<T: Redact> Redact for Option<T> {
    fn redact(&mut self) {
        self.iter_mut().for_each(Redact::redact);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: u32 = 1000;
    const GROUP: u32 = 50;
    const POLICY: Policy = Policy { owner: OWNER, group: Some(GROUP) };

    fn local(uid: u32, gids: &[u32]) -> Peer {
        Peer::Local { pid: 1, uid, gids: gids.to_vec() }
    }

    fn peer(standing: Standing) -> Peer {
        match standing {
            Standing::Root => local(0, &[0]),
            Standing::Owner => local(OWNER, &[OWNER]),
            Standing::Group => local(7, &[7, GROUP]),
            Standing::Other => local(7, &[7]),
            Standing::Remote => Peer::Remote(([127, 0, 0, 1], 1).into()),
        }
    }

    /// The cells of a row of a Markdown table.
    fn cells(line: &str) -> Vec<&str> {
        line.trim_matches('|').split('|').map(str::trim).collect()
    }

    /// `docs/MANAGEMENT.md` prints this table: every cell of it, and no row less.
    #[test]
    fn the_printed_table_is_the_code() {
        let manual = include_str!("../../docs/MANAGEMENT.md");
        let mut lines = manual.lines().skip_while(|line| !line.starts_with("| operation |"));
        let head = cells(lines.next().expect("the table"));
        assert_eq!(head[1..], Standing::ALL.map(Standing::word));
        let mut rows: Vec<Vec<&str>> =
            lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect();
        let paths = rows.pop().expect("a last row");
        let words: Vec<&str> = rows.iter().map(|row| row[0]).collect();
        assert_eq!(words, Operation::ALL.map(Operation::word));
        let word = |yes| if yes { "yes" } else { "no" };
        for (row, operation) in rows.iter().zip(Operation::ALL) {
            for (cell, standing) in row[1..].iter().zip(Standing::ALL) {
                let decision = POLICY.authorize(operation, &peer(standing));
                assert_eq!(*cell, word(decision == Decision::Allow), "{operation:?} {standing:?}");
            }
        }
        assert_eq!(paths[0], "see paths");
        for (cell, standing) in paths[1..].iter().zip(Standing::ALL) {
            let seen = POLICY.disclosure(&peer(standing)) == Disclosure::Full;
            assert_eq!(*cell, word(seen), "{standing:?}");
        }
    }

    #[test]
    fn peers_are_what_they_are() {
        for standing in Standing::ALL {
            assert_eq!(POLICY.standing(&peer(standing)), standing);
        }
        let no_group = Policy { group: None, ..POLICY };
        assert_eq!(no_group.standing(&peer(Standing::Group)), Standing::Other);
        let roots = Policy { owner: 0, group: None };
        assert_eq!(roots.standing(&local(0, &[])), Standing::Root);
        assert_eq!(peer(Standing::Remote).caller().uid, u32::MAX, "never root");
    }

    #[test]
    fn an_abort_is_one_in_either_place() {
        let stop = |mode, on_deadline| {
            Operation::of_stop(&StopOptions { mode, on_deadline, ..StopOptions::default() })
        };
        assert_eq!(stop(StopMode::Drain, OnDeadline::Cancel), Operation::Stop);
        assert_eq!(stop(StopMode::Cancel, OnDeadline::Stay), Operation::Stop);
        assert_eq!(stop(StopMode::Abort, OnDeadline::Stay), Operation::Abort);
        assert_eq!(stop(StopMode::Drain, OnDeadline::Abort), Operation::Abort);
    }

    #[test]
    fn a_refusal_says_who_may() {
        let Decision::Deny(denial) = POLICY.authorize(Operation::Abort, &peer(Standing::Group))
        else {
            panic!("allowed");
        };
        assert_eq!(
            denial.to_string(),
            "user 7 may not abort this mount: only root and its owner may"
        );
        let Decision::Deny(denial) = POLICY.authorize(Operation::Read, &peer(Standing::Remote))
        else {
            panic!("allowed");
        };
        assert_eq!(denial.to_string(), "nobody may read this mount from 127.0.0.1:1");
    }

    /// A network that is allowed to stop the listening may do that, and nothing else.
    #[test]
    fn a_configuration_allows_a_network_one_thing() {
        let networks = ["192.0.2.0/24", "::1"].map(|word| word.parse().expect("a network"));
        let policy = RpcPolicy { base: POLICY, may_stop: networks.to_vec() };
        let allowed = |operation, address: &str| {
            let peer =
                Peer::Remote((address.parse::<std::net::IpAddr>().expect(address), 1).into());
            policy.authorize(operation, &peer) == Decision::Allow
        };
        assert!(allowed(Operation::RpcStopListening, "192.0.2.9"));
        assert!(allowed(Operation::RpcStopListening, "::1"));
        assert!(!allowed(Operation::RpcStopListening, "127.0.0.1"));
        for operation in
            Operation::ALL.into_iter().filter(|other| *other != Operation::RpcStopListening)
        {
            let remote = allows(operation, Standing::Remote);
            assert_eq!(allowed(operation, "192.0.2.9"), remote, "{operation:?}");
        }
        let closed = RpcPolicy { base: POLICY, may_stop: Vec::new() };
        for standing in Standing::ALL {
            let decision = closed.authorize(Operation::RpcStopListening, &peer(standing));
            assert_eq!(decision, POLICY.authorize(Operation::RpcStopListening, &peer(standing)));
        }
    }
}
