//! What a mini-redirector claims to be able to do, and what its server really can.
//!
//! A redirector states its own capabilities; what depends on the server behind it (`local` can
//! punch holes where the backing file system can) is found out on the server itself, never through
//! the redirector that is under test.

use minirdr::mrx::calldown::Capabilities;
use minirdr::rdbss::operation::operand::AllocateMode;
use rustix::fs::{self, AtFlags, FallocateFlags, Gid, Mode, OFlags, SeekFrom, Uid, XattrFlags};
use std::path::Path;

/// What a case may expect to work. What is not claimed must answer EOPNOTSUPP.
#[derive(Clone, Debug)]
pub struct Claims {
    /// What the redirector says of itself.
    pub capabilities: Capabilities,
    /// Changes of a directory are told.
    pub notifies: bool,
    /// What the server behind it can do.
    pub server: Server,
}

/// What a server can do that not every one can.
#[derive(Clone, Debug)]
pub struct Server {
    /// Files can be given to other users.
    pub gives_files_away: bool,
    /// Device nodes can be made.
    pub makes_devices: bool,
    /// Holes are kept and told apart from data.
    pub keeps_holes: bool,
    /// Extended attributes of the `user.` kind are kept.
    pub keeps_extended_attributes: bool,
    /// POSIX ACLs are kept.
    pub keeps_acl: bool,
    /// The modes of `fallocate` it knows.
    pub allocates: Vec<AllocateMode>,
}

/// The modes Linux has, each as it is asked for.
pub fn modes() -> [AllocateMode; 6] {
    let none = AllocateMode::default();
    [
        none,
        AllocateMode { keep_size: true, ..none },
        AllocateMode { keep_size: true, punch_hole: true, ..none },
        AllocateMode { zero_range: true, ..none },
        AllocateMode { collapse_range: true, ..none },
        AllocateMode { insert_range: true, ..none },
    ]
}

fn flags(mode: AllocateMode) -> FallocateFlags {
    let mut flags = FallocateFlags::empty();
    flags.set(FallocateFlags::KEEP_SIZE, mode.keep_size);
    flags.set(FallocateFlags::PUNCH_HOLE, mode.punch_hole);
    flags.set(FallocateFlags::ZERO_RANGE, mode.zero_range);
    flags.set(FallocateFlags::COLLAPSE_RANGE, mode.collapse_range);
    flags.set(FallocateFlags::INSERT_RANGE, mode.insert_range);
    flags
}

/// The smallest ACL there is: what the mode 0640 says.
pub const ACL_0640: [u8; 28] = [
    2, 0, 0, 0, // version
    1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, // the owner reads and writes
    4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, // the group reads
    32, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, // others do nothing
];

impl Server {
    /// A server that can do everything.
    pub fn able() -> Self {
        Self {
            gives_files_away: true,
            makes_devices: true,
            keeps_holes: true,
            keeps_extended_attributes: true,
            keeps_acl: true,
            allocates: modes().to_vec(),
        }
    }

    /// Tries everything on a directory of this machine; leaves nothing in it.
    pub fn of(directory: &Path) -> Self {
        let path = directory.join("probe");
        let flags_of_open = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = fs::open(&path, flags_of_open, Mode::from_raw_mode(0o644)).expect("a file");
        let stranger = (Some(Uid::from_raw(4242)), Some(Gid::from_raw(4242)));
        let device = fs::makedev(1, 3);
        let node = directory.join("probe-device");
        let kind = fs::FileType::CharacterDevice;
        let made = fs::mknodat(fs::CWD, &node, kind, Mode::from_raw_mode(0o600), device);
        fs::ftruncate(&file, 1 << 20).expect("extended");
        let hole = fs::seek(&file, SeekFrom::Hole(0));
        let set = |name: &str, value: &[u8]| {
            fs::setxattr(&path, name, value, XattrFlags::empty()).is_ok()
        };
        let able = Self {
            gives_files_away: fs::chownat(fs::CWD, &path, stranger.0, stranger.1, AtFlags::empty())
                .is_ok(),
            makes_devices: made.is_ok(),
            keeps_holes: hole == Ok(0),
            keeps_extended_attributes: set("user.probe", b"v"),
            keeps_acl: set("system.posix_acl_access", &ACL_0640),
            allocates: modes()
                .into_iter()
                .filter(|mode| fs::fallocate(&file, flags(*mode), 0, 64 * 1024).is_ok())
                .collect(),
        };
        fs::unlink(&path).expect("removed");
        if able.makes_devices {
            fs::unlink(&node).expect("removed");
        }
        able
    }
}
