//! POSIX access control lists: the part of them that is a server's.
//!
//! The kernel judges by a list; the server keeps the list and the permission bits of one piece, as
//! acl(5) has it. Setting an access list changes the bits, and one that says no more than they do
//! is not kept; changing the bits changes the list; what is made in a directory with a default list
//! gets that as its own, which takes the umask's place.

use crate::base::status::{Errno, Status};

/// Name of the list by which access is judged.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
/// Name of the list that a directory hands down.
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";

/// The only version of the encoding (`POSIX_ACL_XATTR_VERSION`).
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 4;
const ENTRY_BYTES: usize = 8;

const USER_OBJECT: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJECT: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

const RWX: u16 = 0o7;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: u16,
    permissions: u16,
    id: u32,
}

/// A valid list: in the order of its tags, with an owner's, a group's and the others' entry, and a
/// mask if anybody is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acl(Vec<Entry>);

impl Acl {
    /// Reads an attribute's value. None: a list of nobody, which takes the old one away.
    ///
    /// # Errors
    /// EINVAL for what is no list; EOPNOTSUPP for a version to come.
    pub(super) fn parse(value: &[u8]) -> Result<Option<Self>, Status> {
        if value.is_empty() {
            return Ok(None);
        }
        let (version, entries) =
            value.split_first_chunk::<HEADER_BYTES>().ok_or(Status::InvalidParameter)?;
        if u32::from_le_bytes(*version) != VERSION {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() {
            return Err(Status::InvalidParameter);
        }
        let entries: Vec<_> = entries.iter().map(Entry::parse).collect();
        match entries.is_empty() {
            true => Ok(None),
            false if is_valid(&entries) => Ok(Some(Self(entries))),
            false => Err(Status::InvalidParameter),
        }
    }

    /// The attribute's value.
    pub(super) fn to_bytes(&self) -> Box<[u8]> {
        let mut value = Vec::with_capacity(HEADER_BYTES + self.0.len() * ENTRY_BYTES);
        value.extend(VERSION.to_le_bytes());
        for entry in &self.0 {
            value.extend(entry.tag.to_le_bytes());
            value.extend(entry.permissions.to_le_bytes());
            value.extend(entry.id.to_le_bytes());
        }
        value.into()
    }

    /// Does it say no more than permission bits do?
    pub(super) fn is_minimal(&self) -> bool {
        self.0.iter().all(|entry| matches!(entry.tag, USER_OBJECT | GROUP_OBJECT | OTHER))
    }

    /// The permission bits 0o777 that go with it; the group's are the mask where there is one.
    pub(super) fn permissions(&self) -> u16 {
        let of = |tag| self.0.iter().find(|entry| entry.tag == tag).map(|entry| entry.permissions);
        let group = of(MASK).or_else(|| of(GROUP_OBJECT));
        of(USER_OBJECT).unwrap_or(0) << 6 | group.unwrap_or(0) << 3 | of(OTHER).unwrap_or(0)
    }

    /// After a `chmod`.
    pub(super) fn set_permissions(&mut self, permissions: u16) {
        self.map_permissions(|_, bits| bits, permissions);
    }

    /// As a new file's own, which was asked for with these permissions: neither gives more than the
    /// other.
    pub(super) fn limited_to(mut self, permissions: u16) -> Self {
        self.map_permissions(|own, bits| own & bits, permissions);
        self
    }

    fn map_permissions(&mut self, map: impl Fn(u16, u16) -> u16, permissions: u16) {
        let group = if self.0.iter().any(|entry| entry.tag == MASK) { MASK } else { GROUP_OBJECT };
        for entry in &mut self.0 {
            let shift = match entry.tag {
                USER_OBJECT => 6,
                OTHER => 0,
                tag if tag == group => 3,
                _ => continue,
            };
            entry.permissions = map(entry.permissions, permissions >> shift & RWX);
        }
    }
}

impl Entry {
    fn parse(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let [t0, t1, p0, p1, id @ ..] = *bytes;
        Self {
            tag: u16::from_le_bytes([t0, t1]),
            permissions: u16::from_le_bytes([p0, p1]),
            id: u32::from_le_bytes(id),
        }
    }
}

fn is_valid(entries: &[Entry]) -> bool {
    let count = |tag| entries.iter().filter(|entry| entry.tag == tag).count();
    let names_somebody = count(USER) + count(GROUP) > 0;
    let known = |entry: &Entry| {
        [USER_OBJECT, USER, GROUP_OBJECT, GROUP, MASK, OTHER].contains(&entry.tag)
            && entry.permissions <= RWX
    };
    entries.iter().all(known)
        && entries.is_sorted_by_key(|entry| entry.tag)
        && [USER_OBJECT, GROUP_OBJECT, OTHER].into_iter().all(|tag| count(tag) == 1)
        && count(MASK) <= 1
        && (count(MASK) == 1 || !names_somebody)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(permissions.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    const NOBODY: u32 = u32::MAX;

    fn named() -> Vec<(u16, u16, u32)> {
        vec![
            (USER_OBJECT, 7, NOBODY),
            (USER, 6, 1000),
            (GROUP_OBJECT, 5, NOBODY),
            (MASK, 7, NOBODY),
            (OTHER, 1, NOBODY),
        ]
    }

    fn acl(entries: &[(u16, u16, u32)]) -> Acl {
        Acl::parse(&value(entries)).expect("valid").expect("a list")
    }

    #[test]
    fn a_list_is_read_and_written_byte_for_byte() {
        let list = acl(&named());
        assert_eq!(*list.to_bytes(), *value(&named()));
        assert_eq!((list.permissions(), list.is_minimal()), (0o771, false));
        let minimal = acl(&[(1, 6, NOBODY), (4, 4, NOBODY), (32, 0, NOBODY)]);
        assert_eq!((minimal.permissions(), minimal.is_minimal()), (0o640, true));
        assert_eq!(Acl::parse(b""), Ok(None));
        assert_eq!(Acl::parse(&value(&[])), Ok(None));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let mut cases = vec![value(&named())[..5].to_vec(), b"xyz".to_vec()];
        for broken in 0..4 {
            let mut entries = named();
            match broken {
                0 => drop(entries.remove(3)),
                1 => entries.swap(0, 1),
                2 => entries[1].1 = 8,
                _ => entries.push((OTHER, 1, NOBODY)),
            }
            cases.push(value(&entries));
        }
        cases.push(value(&[(1, 7, NOBODY), (4, 7, NOBODY)]));
        cases.push(value(&[(1, 7, NOBODY), (4, 7, NOBODY), (64, 7, NOBODY)]));
        for case in cases {
            assert_eq!(Acl::parse(&case), Err(Status::InvalidParameter), "{case:?}");
        }
        assert_eq!(Acl::parse(&[3, 0, 0, 0]), Err(Errno::EOPNOTSUPP.into()));
    }

    #[test]
    fn bits_and_list_follow_each_other() {
        let mut list = acl(&named());
        list.set_permissions(0o640);
        assert_eq!(list.permissions(), 0o640);
        assert_eq!(list.0[2].permissions, 5, "the group's own entry is behind the mask");
        let made = acl(&named()).limited_to(0o664);
        assert_eq!(made.permissions(), 0o660);
        assert_eq!(made.0[1], Entry { tag: USER, permissions: 6, id: 1000 });
    }
}
