//! The ids and permissions inside an access control list, as the kernel has it in an extended
//! attribute (`linux/posix_acl_xattr.h`); pure.

use super::ids::{IdMap, NOBODY};

/// The attributes lists are kept in.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
/// The list that a directory hands down.
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";

const HEADER_BYTES: usize = 4;
const ENTRY_BYTES: usize = 8;

const USER_OBJECT: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP: u16 = 0x08;
const OTHER: u16 = 0x20;

/// Somebody of the server who is nobody here. A list cannot name [`NOBODY`]: the kernel would take
/// it for no list at all, and refuse everybody.
pub(super) const STRANGER: u32 = NOBODY - 1;

/// Which way a list goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the server to the kernel.
    Shown,
    /// From a caller to the server.
    Stored,
}

/// The list with its ids of the other side, and without the permission bits of `mask`. None: it
/// names somebody who has no id there. What is no list comes out as it went in: who judges it says
/// what is wrong with it.
pub(super) fn translate(
    list: &[u8],
    (users, groups): (&IdMap, &IdMap),
    way: Way,
    mask: u16,
) -> Option<Vec<u8>> {
    let mut list = list.to_vec();
    let Some((_, entries)) = list.split_at_mut_checked(HEADER_BYTES) else { return Some(list) };
    let (entries, rest) = entries.as_chunks_mut::<ENTRY_BYTES>();
    if !rest.is_empty() {
        return Some(list);
    }
    for entry in entries {
        let [t0, t1, p0, p1, id @ ..] = *entry;
        let (tag, permissions) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([p0, p1]));
        let shift = match tag {
            USER_OBJECT => 6,
            OTHER => 0,
            _ => 3,
        };
        let permissions = permissions & !(mask >> shift & 0o7);
        let id = u32::from_le_bytes(id);
        let id = match tag {
            USER => one(users, id, way)?,
            GROUP => one(groups, id, way)?,
            _ => id,
        };
        entry[2..4].copy_from_slice(&permissions.to_le_bytes());
        entry[4..].copy_from_slice(&id.to_le_bytes());
    }
    Some(list)
}

fn one(map: &IdMap, id: u32, way: Way) -> Option<u32> {
    match way {
        Way::Shown => Some(map.shown(id).min(STRANGER)),
        Way::Stored => map.stored(id).filter(|_| id != STRANGER),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::Pair;
    use super::*;
    use proptest::prelude::*;

    const GROUP_OBJECT: u16 = 0x04;
    const MASK: u16 = 0x10;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    fn one_pair(server: u32, here: u32) -> IdMap {
        let mut map = IdMap::default();
        assert!(map.add(Pair { server, here, count: 1 }));
        map
    }

    #[test]
    fn named_users_and_groups_are_told_in_the_other_sides_ids() {
        let (users, groups) = (one_pair(1, 11), one_pair(2, 12));
        let maps = (&users, &groups);
        let of = |user, group| {
            let nobody = u32::MAX;
            list(&[
                (USER_OBJECT, 7, nobody),
                (USER, 6, user),
                (GROUP_OBJECT, 5, nobody),
                (GROUP, 4, group),
                (MASK, 7, nobody),
                (OTHER, 1, nobody),
            ])
        };
        assert_eq!(translate(&of(1, 2), maps, Way::Shown, 0), Some(of(11, 12)));
        assert_eq!(translate(&of(11, 12), maps, Way::Stored, 0), Some(of(1, 2)));
        assert_eq!(translate(&of(11, 2), maps, Way::Shown, 0), Some(of(STRANGER, 12)));
        assert_eq!(translate(&of(1, 12), maps, Way::Stored, 0), None, "1 is shown as 11");
        assert_eq!(translate(&of(STRANGER, 12), maps, Way::Stored, 0), None);
    }

    #[test]
    fn a_mask_takes_permissions_from_each_class() {
        let none = IdMap::default();
        let full = list(&[(USER_OBJECT, 7, 0), (USER, 7, 9), (MASK, 7, 0), (OTHER, 7, 0)]);
        let less = list(&[(USER_OBJECT, 6, 0), (USER, 5, 9), (MASK, 5, 0), (OTHER, 0, 0)]);
        assert_eq!(translate(&full, (&none, &none), Way::Shown, 0o127), Some(less));
    }

    proptest! {
        #[test]
        fn what_is_no_list_is_left_alone(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let none = IdMap::default();
            for way in [Way::Shown, Way::Stored] {
                let out = translate(&bytes, (&none, &none), way, 0);
                let strange = bytes.len() >= 12 && out != Some(bytes.clone());
                // Only ids that mean nobody are told otherwise.
                prop_assert!(!strange || bytes.windows(4).any(|id| id[1..] == [255; 3]));
            }
        }
    }
}
