//! Who is at the other end of a Unix socket, with his groups.

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
    let mut gids = vec![from.gid];
    if group.is_some() && from.pid != 0 {
        // Only of a process of that very user: the number may be another's by now.
        let status = proc.status(from.pid);
        let same = status.filter(|status| status.uids.iter().all(|&uid| uid == from.uid));
        gids.extend(same.into_iter().flat_map(|status| status.groups));
    }
    Some(Peer::Local { pid: from.pid, uid: from.uid, gids })
}
