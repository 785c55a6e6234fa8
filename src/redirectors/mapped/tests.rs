//! What a mapping shows of the server beneath it, and what it takes back.

use super::*;
use crate::base::status::Errno;
use crate::base::sync::{Mutex, Rank};
use crate::mrx::request::FileIdentity;
use crate::redirectors::test_support::TestContext;

/// A server with one file, which keeps what it is told of it.
struct OneFile {
    is: Mutex<Attributes>,
    list: Mutex<Vec<u8>>,
    made: Mutex<Option<Ownership>>,
}

impl OneFile {
    fn new(kind: FileKind, uid: u32, gid: u32, permissions: u16) -> Arc<Self> {
        let attributes = Attributes {
            kind,
            permissions,
            links: 1,
            uid,
            gid,
            device: 0,
            size: 0,
            blocks: 0,
            block_size: 4096,
            accessed: Default::default(),
            modified: Default::default(),
            changed: Default::default(),
            leased: false,
            created: Default::default(),
        };
        Arc::new(Self {
            is: Mutex::new(Rank::Leaf, attributes),
            list: Mutex::new(Rank::Leaf, Vec::new()),
            made: Mutex::new(Rank::Leaf, None),
        })
    }

    fn stored(&self) -> (u32, u32, u16) {
        let is = *self.is.lock();
        (is.uid, is.gid, is.permissions)
    }

    fn found(&self) -> Found {
        Found { identity: IDENTITY, attributes: *self.is.lock(), extension: Arc::new(()) }
    }
}

const IDENTITY: FileIdentity = FileIdentity { number: 2, generation: 0 };

impl MiniRedirector for OneFile {
    fn name(&self) -> &'static str {
        "one-file"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn create_v_net_root(
        &self,
        _context: Context<'_>,
        srv_call: &Extension,
    ) -> Result<(Extension, Found), Status> {
        Ok((Arc::clone(srv_call), self.found()))
    }

    fn lookup(&self, _: Context<'_>, _: FileRef<'_>, _: &Name) -> Result<Found, Status> {
        Ok(self.found())
    }

    fn make_node(
        &self,
        _context: Context<'_>,
        _parent: FileRef<'_>,
        _name: &Name,
        _node: &NewNode,
        owner: Ownership,
    ) -> Result<Found, Status> {
        *self.made.lock() = Some(owner);
        Ok(self.found())
    }

    fn open(&self, _: Context<'_>, _: FileRef<'_>, _: OpenOptions) -> Result<Opened, Status> {
        Err(Status::NotImplemented)
    }

    fn query_file_information(
        &self,
        _context: Context<'_>,
        _file: FileRef<'_>,
        _open: Option<OpenRef<'_>>,
    ) -> Result<Attributes, Status> {
        Ok(*self.is.lock())
    }

    fn set_file_information(
        &self,
        _context: Context<'_>,
        _file: FileRef<'_>,
        _open: Option<OpenRef<'_>>,
        set: SetAttributes,
    ) -> Result<Attributes, Status> {
        let mut is = self.is.lock();
        is.uid = set.uid.unwrap_or(is.uid);
        is.gid = set.gid.unwrap_or(is.gid);
        is.permissions = set.permissions.unwrap_or(is.permissions);
        Ok(*is)
    }

    fn query_extended_attribute(
        &self,
        _context: Context<'_>,
        _file: FileRef<'_>,
        _name: &[u8],
    ) -> Result<Vec<u8>, Status> {
        Ok(self.list.lock().clone())
    }

    fn set_extended_attribute(
        &self,
        _context: Context<'_>,
        _file: FileRef<'_>,
        _name: &[u8],
        value: &[u8],
        _mode: SetExtendedAttributeMode,
    ) -> Result<(), Status> {
        *self.list.lock() = value.to_vec();
        Ok(())
    }
}

fn mapping(words: &[(&str, &str)]) -> Mapping {
    let nobody = |_: &str| None;
    let words: Vec<_> =
        words.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let (mapping, rest) =
        Mapping::split(&words, Names { user: &nobody, group: &nobody }).expect("good options");
    assert!(rest.is_empty());
    mapping
}

struct Rig {
    server: Arc<OneFile>,
    mapped: Mapped,
    extension: Extension,
}

impl Rig {
    fn new(server: Arc<OneFile>, words: &[(&str, &str)]) -> Self {
        let mapped = Mapped::new(server.clone(), mapping(words));
        Self { server, mapped, extension: Arc::new(()) }
    }

    fn file(&self) -> FileRef<'_> {
        FileRef { identity: IDENTITY, extension: &self.extension }
    }

    fn shown(&self) -> (u32, u32, u16) {
        let context = TestContext::new();
        let is = self.mapped.query_file_information(&context, self.file(), None).expect("there");
        (is.uid, is.gid, is.permissions)
    }

    fn set(&self, uid: u32, set: SetAttributes) -> Result<(u32, u32, u16), Errno> {
        let context = TestContext::of(uid, uid);
        let is = self.mapped.set_file_information(&context, self.file(), None, set);
        is.map(|is| (is.uid, is.gid, is.permissions)).map_err(Status::errno)
    }

    fn chown(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(u32, u32, u16), Errno> {
        self.set(0, SetAttributes { uid, gid, ..SetAttributes::default() })
    }

    fn chmod(&self, caller: u32, permissions: u16) -> Result<(u32, u32, u16), Errno> {
        self.set(caller, SetAttributes { permissions: Some(permissions), ..Default::default() })
    }

    fn make(&self, node: &NewNode, (uid, gid): (u32, u32), permissions: u16) -> Option<Ownership> {
        let context = TestContext::of(uid, gid);
        let name = Name::new(b"n").expect("a name");
        let owner = Ownership { permissions, umask: 0, uid, gid };
        let made = self.mapped.make_node(&context, self.file(), &name, node, owner);
        match made {
            Ok(_) => self.server.made.lock().take(),
            Err(status) => {
                assert_eq!(status.errno(), Errno::EOVERFLOW);
                None
            }
        }
    }
}

#[test]
fn all_files_are_one_users_and_stay_whose_they_are() {
    let server = OneFile::new(FileKind::Regular, 5, 6, 0o640);
    let rig = Rig::new(server, &[("uid", "1000"), ("gid", "100")]);
    assert_eq!(rig.shown(), (1000, 100, 0o640));
    assert_eq!(rig.chown(Some(1000), Some(100)), Ok((1000, 100, 0o640)));
    assert_eq!(rig.chown(Some(5), None), Err(Errno::EPERM), "it would be shown as 1000 still");
    assert_eq!(rig.chown(None, Some(6)), Err(Errno::EPERM));
    assert_eq!(rig.server.stored(), (5, 6, 0o640));
    // What is made is its maker's.
    let made = rig.make(&NewNode::Directory, (7, 8), 0o755).expect("made");
    assert_eq!((made.uid, made.gid, made.permissions), (7, 8, 0o755));
}

#[test]
fn pairs_go_both_ways_or_are_refused() {
    let server = OneFile::new(FileKind::Regular, 1, 2, 0o644);
    let rig = Rig::new(server, &[("map", "1/1001:@2/@1002")]);
    assert_eq!(rig.shown(), (1001, 1002, 0o644));
    assert_eq!(rig.chown(Some(5), Some(1002)), Ok((5, 1002, 0o644)));
    assert_eq!(rig.server.stored(), (5, 2, 0o644));
    assert_eq!(rig.chown(Some(1), None), Err(Errno::EINVAL), "nobody is shown as 1");
    assert_eq!(rig.chown(None, Some(2)), Err(Errno::EINVAL));
    assert_eq!(rig.server.stored(), (5, 2, 0o644), "nothing was done");
    let made = rig.make(&NewNode::Directory, (1001, 1002), 0o755).expect("made");
    assert_eq!((made.uid, made.gid), (1, 2));
    assert_eq!(rig.make(&NewNode::Directory, (1, 1002), 0o755), None);
    assert_eq!(rig.make(&NewNode::Directory, (1001, 2), 0o755), None);
    let theirs = Rig::new(OneFile::new(FileKind::Regular, 1001, 0, 0), &[("map", "1/1001")]);
    assert_eq!(theirs.shown().0, u32::MAX, "the server's 1001 is not ours");
}

#[test]
fn masked_permissions_are_neither_shown_nor_given() {
    let words = [("umask", "022"), ("fmask", "0137")];
    let rig = Rig::new(OneFile::new(FileKind::Regular, 0, 0, 0o4777), &words);
    assert_eq!(rig.shown().2, 0o4640);
    assert_eq!(rig.chmod(0, 0o777), Ok((0, 0, 0o640)));
    assert_eq!(rig.server.stored().2, 0o640);
    let directory = Rig::new(OneFile::new(FileKind::Directory, 0, 0, 0o1777), &words);
    assert_eq!(directory.shown().2, 0o1755);
    let link = Rig::new(OneFile::new(FileKind::Symlink, 0, 0, 0o777), &words);
    assert_eq!(link.shown().2, 0o777);
    let made = |node: &NewNode| rig.make(node, (7, 7), 0o2777).expect("made").permissions;
    assert_eq!(made(&NewNode::Directory), 0o2755);
    assert_eq!(made(&NewNode::Special(FileKind::NamedPipe, 0)), 0o2640, "masks lend nobody's id");
    assert_eq!(made(&NewNode::Symlink(b"x".to_vec())), 0o2777);
}

/// A file of 1000's own that is another's on the server would run as that other.
#[test]
fn only_root_makes_set_id_files_of_others() {
    let rig = Rig::new(OneFile::new(FileKind::Regular, 0, 0, 0o755), &[("uid", "1000")]);
    assert_eq!(rig.chmod(1000, 0o4755), Err(Errno::EPERM));
    assert_eq!(rig.chmod(1000, 0o2755), Err(Errno::EPERM));
    assert_eq!(rig.server.stored().2, 0o755);
    assert_eq!(rig.chmod(0, 0o4755), Ok((1000, 0, 0o4755)));
    assert_eq!(rig.chmod(1000, 0o4700), Ok((1000, 0, 0o4700)), "it has the bit");
    assert_eq!(rig.chmod(1000, 0o700), Ok((1000, 0, 0o700)));
    let pipe = NewNode::Special(FileKind::NamedPipe, 0);
    assert_eq!(rig.make(&pipe, (1000, 0), 0o6755).expect("made").permissions, 0o755);
    assert_eq!(rig.make(&pipe, (0, 0), 0o6755).expect("made").permissions, 0o6755);
    let directory = Rig::new(OneFile::new(FileKind::Directory, 0, 0, 0o755), &[("uid", "1000")]);
    assert_eq!(directory.chmod(1000, 0o2755), Ok((1000, 0, 0o2755)), "a directory runs as nobody");
}

#[test]
fn lists_are_told_in_the_other_sides_ids() {
    let server = OneFile::new(FileKind::Regular, 0, 0, 0o644);
    let rig = Rig::new(server, &[("map", "1/1001"), ("umask", "007")]);
    let list = |id: u32, other: u8| {
        let mut bytes = vec![2, 0, 0, 0, 0x02, 0, 7, 0];
        bytes.extend(id.to_le_bytes());
        bytes.extend([0x20, 0, other, 0, 255, 255, 255, 255]);
        bytes
    };
    let (context, any) = (TestContext::new(), SetExtendedAttributeMode::Any);
    let set = |value: &[u8]| {
        let name = lists::ACCESS;
        rig.mapped.set_extended_attribute(&context, rig.file(), name, value, any)
    };
    set(&list(1001, 7)).expect("set");
    assert_eq!(*rig.server.list.lock(), list(1, 0));
    let seen = rig.mapped.query_extended_attribute(&context, rig.file(), lists::ACCESS);
    assert_eq!(seen, Ok(list(1001, 0)));
    assert_eq!(set(&list(1, 7)), Err(Status::InvalidParameter));
    let set = |name: &[u8]| {
        rig.mapped.set_extended_attribute(&context, rig.file(), name, &list(1, 7), any)
    };
    assert_eq!(set(b"user.anything"), Ok(()), "it is no list");
    assert_eq!(set(lists::DEFAULT), Err(Status::InvalidParameter));
}

/// A root and a name looked up are shown so too.
#[test]
fn files_that_are_found_are_shown_mapped() {
    let rig = Rig::new(OneFile::new(FileKind::Directory, 3, 4, 0o777), &[("uid", "9")]);
    let context = TestContext::new();
    let (_, root) = rig.mapped.create_v_net_root(&context, &rig.extension).expect("a root");
    let name = Name::new(b"n").expect("a name");
    let found = rig.mapped.lookup(&context, rig.file(), &name).expect("found");
    assert_eq!((root.attributes.uid, found.attributes.uid), (9, 9));
    assert_eq!(rig.mapped.name(), "one-file");
}
