//! Who may ask for what (management.md §2): a pure function, asked on every call before any effect.
//!
//! Keyed by an enum of ours, because varlink, DCE and Windows each number the operations
//! differently. `docs/MANAGEMENT.md` prints the table; a test holds the two together. Calls from
//! inside the process and from signals are never asked about. What who mounts changes of the table
//! is in [`Overrides`] and [`RpcPolicy`].

use crate::base::ids::Caller;
use crate::base::stop::{OnDeadline, StopMode, StopOptions};
use crate::mgmt::disclosure::Disclosure;
use crate::mgmt::network::Network;
use crate::mgmt::overrides::{Overrides, Right};
use crate::mgmt::proto::Method;
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
    /// Showing, in a mount of several providers, what the daemon's user can reach; or no longer.
    ChangeProviders,
    /// Writing other people's unsent data to the server, or throwing it away.
    Settle,
    /// Remote management: which interfaces are there (DCE 0, Windows 0).
    RpcInterfaces,
    /// Remote management: numbers of calls (DCE 1, Windows 2).
    RpcStatistics,
    /// Remote management: does it listen (DCE 2, Windows 3)?
    RpcIsListening,
    /// Remote management: listen again after that. Only the control socket has it.
    RpcListen,
    /// Remote management: stop the listening (DCE 3, Windows 4).
    RpcStopListening,
    /// Remote management: the server's principal (DCE 4, Windows 1).
    RpcPrincipal,
}

impl Operation {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 16] = [
        Self::Inquire,
        Self::Read,
        Self::Stop,
        Self::Abort,
        Self::Detach,
        Self::Start,
        Self::Pause,
        Self::Resume,
        Self::ChangeProviders,
        Self::Settle,
        Self::RpcInterfaces,
        Self::RpcStatistics,
        Self::RpcIsListening,
        Self::RpcListen,
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
            Self::ChangeProviders => "change providers",
            Self::Settle => "settle",
            Self::RpcInterfaces => "RPC interfaces",
            Self::RpcStatistics => "RPC statistics",
            Self::RpcIsListening => "RPC is listening",
            Self::RpcListen => "RPC listen",
            Self::RpcStopListening => "RPC stop listening",
            Self::RpcPrincipal => "RPC principal",
        }
    }

    /// What it does to a mount, in refusals.
    const fn deed(self) -> &'static str {
        match self {
            Self::ChangeProviders => "change the providers of",
            Self::Settle => "replay or discard what is unsent of",
            Self::RpcInterfaces => "list the RPC interfaces of",
            Self::RpcStatistics => "count the RPC calls of",
            Self::RpcIsListening => "ask for the RPC listening of",
            Self::RpcListen => "start the RPC listening of",
            Self::RpcStopListening => "stop the RPC listening of",
            Self::RpcPrincipal => "ask for the RPC principal of",
            other => other.word(),
        }
    }

    /// What a method asks for, before its parameters are looked at; what one that stops asks for
    /// besides is [`Operation::of_stop`].
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
            | Method::Watch
            | Method::Metrics
            | Method::Unsent => Self::Read,
            Method::Stop => Self::Stop,
            // A source is opened as the daemon's user, who may be root: to stop is less.
            Method::AddProvider | Method::RemoveProvider | Method::ReplaceProvider => {
                Self::ChangeProviders
            }
            Method::Detach => Self::Detach,
            Method::Start => Self::Start,
            Method::Pause => Self::Pause,
            Method::Resume => Self::Resume,
            Method::Listen => Self::RpcListen,
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
                Caller::local(*pid, *uid, gids.first().copied().unwrap_or(u32::MAX))
            }
            Self::Remote(from) => Caller::from_network(*from),
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
    /// What differs from the table.
    pub overrides: Overrides,
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
    /// The table, for a mount of `owner`, with no group.
    #[must_use]
    pub const fn of_owner(owner: u32) -> Self {
        Self { owner, group: None, overrides: Overrides::NONE }
    }

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
        if self.allows(operation, self.standing(peer)) {
            return Decision::Allow;
        }
        Decision::Deny(match peer {
            Peer::Local { uid, .. } => {
                Denial::User { operation, uid: *uid, who_may: self.who_may(operation) }
            }
            Peer::Remote(from) => Denial::Remote { operation, from: *from },
        })
    }

    /// The table, and what was changed of it.
    fn allows(&self, operation: Operation, standing: Standing) -> bool {
        let changed = self.overrides.of(standing, Right::Ask(operation));
        changed.unwrap_or_else(|| allows(operation, standing))
    }

    /// The people of a refusal.
    fn who_may(&self, operation: Operation) -> &'static str {
        let allowed = |standing| self.allows(operation, standing);
        let group = self.group.is_some();
        match (allowed(Standing::Remote), allowed(Standing::Other), allowed(Standing::Group)) {
            (true, true, true) => "everybody",
            (_, true, false) if group => "root, its owner and those outside its group",
            (_, true, _) => "users of this machine",
            (_, false, true) if group => "root, its owner and its group",
            (_, false, _) => "root and its owner",
        }
    }

    /// How much of an answer `peer` may see.
    #[must_use]
    pub fn disclosure(&self, peer: &Peer) -> Disclosure {
        let standing = self.standing(peer);
        let usual = match standing {
            Standing::Root | Standing::Owner | Standing::Group => true,
            Standing::Other | Standing::Remote => false,
        };
        let sees = self.overrides.of(standing, Right::SeePaths).unwrap_or(usual);
        Disclosure::of(sees)
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
        | (
            Operation::Abort | Operation::Detach | Operation::ChangeProviders | Operation::Settle,
            Standing::Group,
        ) => false,
        (_, Standing::Group) | (Operation::Inquire | Operation::Read, Standing::Other) => true,
        (
            Operation::Stop
            | Operation::Abort
            | Operation::Detach
            | Operation::Start
            | Operation::Pause
            | Operation::Resume
            | Operation::ChangeProviders
            | Operation::Settle
            | Operation::RpcListen
            | Operation::RpcStopListening,
            Standing::Other,
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: u32 = 1000;
    const GROUP: u32 = 50;
    const POLICY: Policy = Policy { owner: OWNER, group: Some(GROUP), overrides: Overrides::NONE };

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
        let roots = Policy { owner: 0, group: None, ..POLICY };
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

    /// One cell changed is that cell changed and no other: every cell of the two columns that can
    /// be, in both directions.
    #[test]
    fn an_override_changes_one_cell() {
        let answers = |policy: &Policy| -> Vec<bool> {
            let asked = Operation::ALL.into_iter().flat_map(|operation| {
                Standing::ALL
                    .map(|standing| policy.authorize(operation, &peer(standing)) == Decision::Allow)
            });
            let seen = Standing::ALL.map(|standing| !policy.disclosure(&peer(standing)).hides());
            asked.chain(seen).collect()
        };
        let usual = answers(&POLICY);
        for (row, right) in Right::all().enumerate() {
            for (column, standing) in Standing::ALL.into_iter().enumerate() {
                for allow in [true, false] {
                    let mut policy = POLICY;
                    policy.overrides.set(standing, right, allow);
                    let mut expected = usual.clone();
                    let cell = row * Standing::ALL.len() + column;
                    if matches!(standing, Standing::Group | Standing::Other) {
                        expected[cell] = allow;
                    }
                    assert_eq!(answers(&policy), expected, "{right:?} {standing:?} {allow}");
                }
            }
        }
    }

    /// Who is refused is told who may, as it is now.
    #[test]
    fn a_refusal_knows_the_overrides() {
        let who = |words: &[(&str, bool)], group, operation| {
            let mut policy = Policy { group, ..POLICY };
            for (word, allow) in words {
                policy.overrides.take(word, *allow).expect(word);
            }
            policy.who_may(operation)
        };
        let stop = Operation::Stop;
        assert_eq!(who(&[], Some(GROUP), stop), "root, its owner and its group");
        assert_eq!(who(&[], None, stop), "root and its owner");
        assert_eq!(who(&[("group:stop", false)], Some(GROUP), stop), "root and its owner");
        assert_eq!(who(&[("other:stop", true)], None, stop), "users of this machine");
        let odd = [("other:stop", true), ("group:stop", false)];
        assert_eq!(who(&odd, Some(GROUP), stop), "root, its owner and those outside its group");
        assert_eq!(who(&[], None, Operation::Read), "users of this machine");
        assert_eq!(who(&[("other:read", false)], None, Operation::Read), "root and its owner");
        assert_eq!(who(&[], None, Operation::RpcPrincipal), "everybody");
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
