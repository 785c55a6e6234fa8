//! What is compared with the reference: a directory through the system's calls (a plain one, or a
//! mount), and the core without a kernel.

use crate::common::Host;
use crate::reference::{Outcome, Path, Seen, Step};
use minirdr::base::name::Name;
use minirdr::base::status::{Errno, Status};
use minirdr::rdbss::operation::operand::{Access, FileKind, NewNode, RenameMode, SetAttributes};
use minirdr::rdbss::operation::{Answer, Creation, Node, Operation};
use rustix::fs::{self, AtFlags, CWD, Mode, OFlags};
use rustix::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Something that does steps.
pub trait Subject {
    fn apply(&self, step: &Step) -> Outcome;
}

/// A directory of this machine, mounted or not.
pub struct Directory(pub PathBuf);

impl Directory {
    fn at(&self, path: &Path) -> PathBuf {
        path.iter().fold(self.0.clone(), |at, name| at.join(name))
    }

    fn open(&self, path: &Path, flags: OFlags) -> io::Result<rustix::fd::OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::open(self.at(path), flags, Mode::from_raw_mode(0o644))
    }

    fn step(&self, step: &Step) -> io::Result<Seen> {
        match step {
            Step::Create(path) => {
                self.open(path, OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY)?;
            }
            Step::Write(path, offset, data) => {
                let file = self.open(path, OFlags::WRONLY)?;
                let written = io::pwrite(&file, data, u64::from(*offset))?;
                assert_eq!(written, data.len());
            }
            Step::Read(path) => {
                // Opened for writing too, so that a directory is refused at once.
                let file = self.open(path, OFlags::RDWR)?;
                let mut data = vec![0; 1 << 16];
                let read = io::pread(&file, &mut data, 0)?;
                data.truncate(read);
                return Ok(Seen::Data(data));
            }
            Step::Truncate(path, size) => {
                fs::ftruncate(self.open(path, OFlags::WRONLY)?, u64::from(*size))?;
            }
            Step::MakeDirectory(path) => fs::mkdir(self.at(path), Mode::from_raw_mode(0o755))?,
            Step::Unlink(path) => fs::unlink(self.at(path))?,
            Step::RemoveDirectory(path) => fs::rmdir(self.at(path))?,
            Step::Rename(from, to) => fs::rename(self.at(from), self.at(to))?,
            Step::Link(from, to) => {
                fs::linkat(CWD, self.at(from), CWD, self.at(to), AtFlags::empty())?;
            }
            Step::Symlink(target, path) => fs::symlink(target, self.at(path))?,
            Step::ReadLink(path) => {
                return Ok(Seen::Data(fs::readlink(self.at(path), Vec::new())?.into_bytes()));
            }
            Step::List(path) => return self.list(path),
            Step::Stat(path) => return self.stat(path),
        }
        Ok(Seen::Nothing)
    }

    fn list(&self, path: &Path) -> io::Result<Seen> {
        let directory = self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(directory)? {
            let name = entry?.file_name().to_str().expect("our names are text").to_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(Seen::Names(names))
    }

    fn stat(&self, path: &Path) -> io::Result<Seen> {
        let stat = fs::lstat(self.at(path))?;
        let links = u32::try_from(stat.st_nlink).expect("few links");
        let size = u64::try_from(stat.st_size).expect("no negative size");
        Ok(match fs::FileType::from_raw_mode(stat.st_mode) {
            fs::FileType::Directory => Seen::Stat('d', 0, 0),
            fs::FileType::Symlink => Seen::Stat('l', size, links),
            _ => Seen::Stat('f', size, links),
        })
    }
}

impl Subject for Directory {
    fn apply(&self, step: &Step) -> Outcome {
        self.step(step).map_err(|errno| Errno::new(errno.raw_os_error()))
    }
}

/// A device without a kernel: names are resolved here, as the kernel would.
pub struct Core(pub Host);

impl Core {
    fn walk(&self, path: &[String]) -> Result<Node, Status> {
        let mut at = self.0.root();
        for name in path {
            self.enter(&at)?;
            at = self.0.lookup(&at, name)?;
        }
        Ok(at)
    }

    /// Something on the way: a directory, or a symlink, which leads nowhere here.
    fn enter(&self, node: &Node) -> Result<(), Status> {
        match self.kind(node)? {
            FileKind::Directory => Ok(()),
            FileKind::Symlink => Err(Errno::ENOENT.into()),
            _ => Err(Errno::ENOTDIR.into()),
        }
    }

    fn place(&self, path: &Path) -> Result<(Node, Name), Status> {
        let (last, above) = path.split_last().expect("no step names the root");
        let parent = self.walk(above)?;
        self.enter(&parent)?;
        Ok((parent, Name::new(last.as_bytes())?))
    }

    /// The kernel knows from its dentries whether a name is taken.
    fn free_place(&self, path: &Path) -> Result<(Node, Name), Status> {
        let (parent, name) = self.place(path)?;
        match self.walk(path) {
            Ok(_) => Err(Errno::EEXIST.into()),
            Err(status) if status.errno() == Errno::ENOENT => Ok((parent, name)),
            Err(status) => Err(status),
        }
    }

    fn attributes(
        &self,
        node: &Node,
    ) -> Result<minirdr::rdbss::operation::operand::Attributes, Status> {
        let asked = Operation::GetAttributes { node: node.clone(), handle: None };
        match self.0.call(asked)? {
            Answer::Attributes(attributes) => Ok(attributes),
            other => panic!("getattr answered {other:?}"),
        }
    }

    fn kind(&self, node: &Node) -> Result<FileKind, Status> {
        Ok(self.attributes(node)?.kind)
    }

    fn file(&self, path: &Path) -> Result<Node, Status> {
        let node = self.walk(path)?;
        match self.kind(&node)? {
            FileKind::Directory => Err(Errno::EISDIR.into()),
            FileKind::Symlink => Err(Errno::ELOOP.into()),
            _ => Ok(node),
        }
    }

    fn make(&self, path: &Path, node: NewNode) -> Result<Seen, Status> {
        let (parent, name) = self.free_place(path)?;
        let creation = Creation { permissions: 0o755, umask: 0 };
        self.0.call(Operation::MakeNode { parent, name, node, creation })?;
        Ok(Seen::Nothing)
    }

    fn step(&self, step: &Step) -> Result<Seen, Status> {
        match step {
            Step::Create(path) => {
                let (parent, name) = self.free_place(path)?;
                let creation = Creation { permissions: 0o644, umask: 0 };
                let options = crate::common::plain(Access::Write);
                let exclusive = true;
                let asked = Operation::Create { parent, name, creation, options, exclusive };
                let Answer::Created(_, open) = self.0.call(asked)? else { panic!("not created") };
                self.0.release(open.handle)?;
            }
            Step::Write(path, offset, data) => {
                let handle = self.0.open(&self.file(path)?, Access::Write)?;
                assert_eq!(self.0.write(handle, u64::from(*offset), data)?, data.len());
                self.0.release(handle)?;
            }
            Step::Read(path) => {
                let handle = self.0.open(&self.file(path)?, Access::ReadWrite)?;
                let data = self.0.read(handle, 0, 1 << 16)?;
                self.0.release(handle)?;
                return Ok(Seen::Data(data));
            }
            Step::Truncate(path, size) => {
                let set =
                    SetAttributes { size: Some(u64::from(*size)), ..SetAttributes::default() };
                let node = self.file(path)?;
                self.0.call(Operation::SetAttributes { node, handle: None, set })?;
            }
            Step::MakeDirectory(path) => return self.make(path, NewNode::Directory),
            Step::Symlink(target, path) => {
                return self.make(path, NewNode::Symlink(target.clone().into_bytes()));
            }
            Step::Unlink(path) => {
                let (parent, name) = self.place(path)?;
                if self.kind(&self.walk(path)?)? == FileKind::Directory {
                    return Err(Errno::EISDIR.into());
                }
                self.0.call(Operation::Unlink { parent, name })?;
            }
            Step::RemoveDirectory(path) => {
                let (parent, name) = self.place(path)?;
                if self.kind(&self.walk(path)?)? != FileKind::Directory {
                    return Err(Errno::ENOTDIR.into());
                }
                self.0.call(Operation::RemoveDirectory { parent, name })?;
            }
            other => return self.step_more(other),
        }
        Ok(Seen::Nothing)
    }

    fn step_more(&self, step: &Step) -> Result<Seen, Status> {
        match step {
            Step::Rename(from, to) => self.rename(from, to)?,
            Step::Link(from, to) => {
                let node = self.walk(from)?;
                let (parent, name) = self.free_place(to)?;
                if self.kind(&node)? == FileKind::Directory {
                    return Err(Errno::EPERM.into());
                }
                self.0.call(Operation::Link { node, parent, name })?;
            }
            Step::ReadLink(path) => {
                let node = self.walk(path)?;
                if self.kind(&node)? != FileKind::Symlink {
                    return Err(Errno::EINVAL.into());
                }
                let Answer::Data(target) = self.0.call(Operation::ReadLink { node })? else {
                    panic!("readlink gave no data")
                };
                return Ok(Seen::Data(target));
            }
            Step::List(path) => return self.list(path),
            Step::Stat(path) => {
                let found = self.attributes(&self.walk(path)?)?;
                return Ok(match found.kind {
                    FileKind::Directory => Seen::Stat('d', 0, 0),
                    FileKind::Symlink => Seen::Stat('l', found.size, found.links),
                    _ => Seen::Stat('f', found.size, found.links),
                });
            }
            _ => unreachable!("every other step is done by `step`"),
        }
        Ok(Seen::Nothing)
    }

    /// As the VFS: what it checks before it asks.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), Status> {
        let (parent, name) = self.place(from)?;
        let (new_parent, new_name) = self.place(to)?;
        let moved = self.walk(from)?;
        if to.len() > from.len() && to[..from.len()] == from[..] {
            return Err(Errno::EINVAL.into());
        }
        if from.len() > to.len() && from[..to.len()] == to[..] {
            return Err(Errno::ENOTEMPTY.into());
        }
        if let Ok(there) = self.walk(to) {
            if there.number() == moved.number() {
                return Ok(());
            }
            match (self.kind(&moved)?, self.kind(&there)?) {
                (FileKind::Directory, FileKind::Directory) => {}
                (FileKind::Directory, _) => return Err(Errno::ENOTDIR.into()),
                (_, FileKind::Directory) => return Err(Errno::EISDIR.into()),
                _ => {}
            }
        }
        let mode = RenameMode::Replace;
        self.0.call(Operation::Rename { parent, name, new_parent, new_name, mode })?;
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Seen, Status> {
        let node = self.walk(path)?;
        if self.kind(&node)? != FileKind::Directory {
            return Err(Errno::ENOTDIR.into());
        }
        let Answer::Opened(open) = self.0.call(Operation::OpenDirectory { node })? else {
            panic!("opendir did not open")
        };
        let (mut names, mut from) = (Vec::new(), 0);
        loop {
            // A small buffer, so that listings come in parts.
            let asked = Operation::ReadDirectory {
                handle: open.handle,
                from,
                budget_bytes: 400,
                with_files: names.len() % 2 == 0,
            };
            let Answer::Listing(entries) = self.0.call(asked)? else { panic!("no listing") };
            let Some(last) = entries.last() else { break };
            from = last.next;
            for entry in &entries {
                let name = std::ffi::OsStr::from_bytes(&entry.name);
                names.push(name.to_str().expect("our names are text").to_owned());
            }
        }
        self.0.release(open.handle)?;
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(Seen::Names(names))
    }
}

impl Subject for Core {
    fn apply(&self, step: &Step) -> Outcome {
        self.step(step).map_err(Status::errno)
    }
}
