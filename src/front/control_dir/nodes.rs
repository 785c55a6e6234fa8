//! The control files as nodes: their numbers, names and attributes. Pure.
//!
//! Their numbers are the last sixteen there are, which no server's file may have: one that does is
//! refused with EIO by the adapter. They are pinned: FORGET means nothing to them.

use crate::base::ids::NodeNumber;
use crate::rdbss::operation::operand::{Attributes, FileKind, Timestamp};

/// First reserved number.
const FIRST: u64 = u64::MAX - 15;

/// A control file, or the directory of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlFile {
    /// The directory.
    Directory,
    /// `status`.
    Status,
    /// `handles`.
    Handles,
    /// `events`.
    Events,
    /// `control`.
    Control,
}

impl ControlFile {
    /// The files in the directory, in the order they are listed.
    pub const FILES: [Self; 4] = [Self::Status, Self::Handles, Self::Events, Self::Control];

    /// Is this number one of those no server's file may have?
    #[must_use]
    pub const fn is_reserved(number: NodeNumber) -> bool {
        number.0 >= FIRST
    }

    /// The file of a number.
    #[must_use]
    pub fn of(number: NodeNumber) -> Option<Self> {
        if number == Self::Directory.number() {
            return Some(Self::Directory);
        }
        Self::FILES.into_iter().find(|file| file.number() == number)
    }

    /// The file of a name in the directory.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::FILES.into_iter().find(|file| file.name().as_bytes() == name)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> NodeNumber {
        let offset = match self {
            Self::Directory => 0,
            Self::Status => 1,
            Self::Handles => 2,
            Self::Events => 3,
            Self::Control => 4,
        };
        NodeNumber(FIRST + offset)
    }

    /// Its name in the directory; the directory's own is configured.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Directory => ".",
            Self::Status => "status",
            Self::Handles => "handles",
            Self::Events => "events",
            Self::Control => "control",
        }
    }

    /// Kind of file.
    #[must_use]
    pub const fn kind(self) -> FileKind {
        match self {
            Self::Directory => FileKind::Directory,
            _ => FileKind::Regular,
        }
    }

    /// Everybody may look; only the daemon's user, root and the configured group may command.
    #[must_use]
    pub const fn permissions(self, owner: Owner) -> u16 {
        match (self, owner.group) {
            (Self::Directory, _) => 0o555,
            (Self::Status | Self::Handles | Self::Events, _) => 0o444,
            (Self::Control, None) => 0o600,
            (Self::Control, Some(_)) => 0o660,
        }
    }

    /// Its attributes.
    #[must_use]
    pub const fn attributes(self, owner: Owner) -> Attributes {
        Attributes {
            kind: self.kind(),
            permissions: self.permissions(owner),
            links: if matches!(self, Self::Directory) { 2 } else { 1 },
            uid: owner.uid,
            gid: match (self, owner.group) {
                (Self::Control, Some(group)) => group,
                _ => owner.gid,
            },
            device: 0,
            size: 0,
            blocks: 0,
            block_size: 4096,
            accessed: owner.since,
            modified: owner.since,
            changed: owner.since,
            created: owner.since,
            leased: false,
        }
    }
}

/// Whose the control files are, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The daemon's user.
    pub uid: u32,
    /// The daemon's group.
    pub gid: u32,
    /// A group whose members may command, too.
    pub group: Option<u32>,
    /// When the mount was made.
    pub since: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_found_by_its_number_and_its_name() {
        for file in ControlFile::FILES {
            assert_eq!(ControlFile::of(file.number()), Some(file));
            assert_eq!(ControlFile::named(file.name().as_bytes()), Some(file));
            assert!(ControlFile::is_reserved(file.number()));
        }
        let directory = ControlFile::Directory;
        assert_eq!(ControlFile::of(directory.number()), Some(directory));
        assert_eq!(ControlFile::named(b"."), None);
        assert!(!ControlFile::is_reserved(NodeNumber(FIRST - 1)));
        assert_eq!(ControlFile::of(NodeNumber(u64::MAX)), None);
    }

    #[test]
    fn only_its_owner_and_the_group_command() {
        let alone = Owner { uid: 1, gid: 2, group: None, since: Timestamp::default() };
        let grouped = Owner { group: Some(50), ..alone };
        let control = ControlFile::Control;
        assert_eq!(control.permissions(alone), 0o600);
        let attributes = control.attributes(grouped);
        assert_eq!((attributes.permissions, attributes.uid, attributes.gid), (0o660, 1, 50));
        assert_eq!(ControlFile::Status.attributes(grouped).gid, 2);
        assert!(ControlFile::FILES.iter().all(|file| file.permissions(alone) & 0o022 == 0));
        let others = |file: &ControlFile| file.permissions(grouped) & 0o002 == 0;
        assert!(ControlFile::FILES.iter().all(others));
    }
}
