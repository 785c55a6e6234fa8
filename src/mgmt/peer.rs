//! Who is at the other end of a Unix socket, with his groups.

use crate::base::ids::Caller;
use crate::mgmt::authz::Peer;
use crate::mgmt::endpoint::credentials;
use crate::mgmt::proc::Proc;
use std::os::fd::AsFd;

/// The peer; `None` when the kernel does not say. Supplementary groups are read only where `group`
/// makes them matter.
pub(in crate::mgmt) fn local_peer(
    stream: &impl AsFd,
    group: Option<u32>,
    proc: &Proc,
) -> Option<Peer> {
    let from = credentials(stream)?;
    Some(with_groups(Caller::local(from.pid, from.uid, from.gid), group, proc))
}

/// A caller of this machine as a peer, with his supplementary groups where they matter.
#[must_use]
pub fn with_groups(caller: Caller, group: Option<u32>, proc: &Proc) -> Peer {
    let Caller { pid, uid, gid, .. } = caller;
    let mut gids = vec![gid];
    if group.is_some() && pid != 0 {
        // Only of a process of that very user: the number may be another's by now.
        let status = proc.status(pid);
        let same = status.filter(|status| status.uids.iter().all(|&other| other == uid));
        gids.extend(same.into_iter().flat_map(|status| status.groups));
    }
    Peer::Local { pid, uid, gids }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Groups are those of the process that asks, while it is that user's; and they are not asked
    /// for where none matters.
    #[test]
    fn supplementary_groups_are_read_where_they_matter() {
        let tree = tempfile::tempdir().expect("a directory");
        fs::create_dir(tree.path().join("7")).expect("made");
        let text = "Name:\tx\nTgid:\t7\nUid:\t1000\t1000\t1000\t1000\nGroups:\t24 50 \n";
        fs::write(tree.path().join("7/status"), text).expect("written");
        let proc = Proc::new(tree.path());
        let gids = |caller, group| match with_groups(caller, group, &proc) {
            Peer::Local { gids, .. } => gids,
            Peer::Remote(_) => panic!("local"),
        };
        assert_eq!(gids(Caller::local(7, 1000, 9), Some(50)), [9, 24, 50]);
        assert_eq!(gids(Caller::local(7, 1000, 9), None), [9]);
        assert_eq!(
            gids(Caller::local(7, 1001, 9), Some(50)),
            [9],
            "the number is another's by now"
        );
        assert_eq!(gids(Caller::local(0, 1000, 9), Some(50)), [9], "of another pid namespace");
        assert_eq!(gids(Caller::local(8, 1000, 9), Some(50)), [9], "gone");
    }
}
