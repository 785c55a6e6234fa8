//! The reference: what a POSIX tree does, on one page. Paths are lists of names; the root is empty.

use minirdr::base::status::Errno;
use std::collections::BTreeMap;

pub type Path = Vec<String>;

/// What something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    Directory,
    File(Vec<u8>),
    Symlink(String),
}

/// What an operation shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Nothing,
    Data(Vec<u8>),
    Names(Vec<String>),
    /// Kind as a letter, size (files only), links (not of directories).
    Stat(char, u64, u32),
}

pub type Outcome = Result<Seen, Errno>;

/// One step; `Path`s name what may or may not exist.
#[derive(Clone, Debug)]
pub enum Step {
    Create(Path),
    Write(Path, u16, Vec<u8>),
    Read(Path),
    Truncate(Path, u16),
    MakeDirectory(Path),
    Unlink(Path),
    RemoveDirectory(Path),
    Rename(Path, Path),
    Link(Path, Path),
    Symlink(String, Path),
    ReadLink(Path),
    List(Path),
    Stat(Path),
}

/// The tree: names lead to numbers, numbers to things.
#[derive(Clone, Debug)]
pub struct Reference {
    names: BTreeMap<Path, u64>,
    things: BTreeMap<u64, Thing>,
    last: u64,
}

impl Default for Reference {
    fn default() -> Self {
        let names = BTreeMap::from([(Path::new(), 0)]);
        Self { names, things: BTreeMap::from([(0, Thing::Directory)]), last: 0 }
    }
}

impl Reference {
    fn parent_is_directory(&self, path: &Path) -> Result<(), Errno> {
        for depth in 0..path.len() {
            match self.names.get(&path[..depth]).map(|number| &self.things[number]) {
                Some(Thing::Directory) => {}
                Some(Thing::File(_)) => return Err(Errno::ENOTDIR),
                // Every symlink here leads nowhere, and is followed on the way.
                Some(Thing::Symlink(_)) | None => return Err(Errno::ENOENT),
            }
        }
        Ok(())
    }

    fn number(&self, path: &Path) -> Result<u64, Errno> {
        self.parent_is_directory(path)?;
        self.names.get(path).copied().ok_or(Errno::ENOENT)
    }

    fn absent(&self, path: &Path) -> Result<(), Errno> {
        match self.number(path) {
            Ok(_) => Err(Errno::EEXIST),
            Err(Errno::ENOENT) => self.parent_is_directory(path),
            Err(errno) => Err(errno),
        }
    }

    fn put(&mut self, path: &Path, thing: Thing) -> Outcome {
        self.absent(path)?;
        self.last += 1;
        self.things.insert(self.last, thing);
        self.names.insert(path.clone(), self.last);
        Ok(Seen::Nothing)
    }

    fn file(&mut self, path: &Path) -> Result<&mut Vec<u8>, Errno> {
        let number = self.number(path)?;
        match self.things.get_mut(&number) {
            Some(Thing::File(data)) => Ok(data),
            Some(Thing::Directory) => Err(Errno::EISDIR),
            // Opened with O_NOFOLLOW.
            _ => Err(Errno::ELOOP),
        }
    }

    fn children(&self, path: &Path) -> Vec<String> {
        let beneath = self
            .names
            .keys()
            .filter(|name| name.len() == path.len() + 1 && name[..path.len()] == path[..]);
        beneath.map(|name| name[path.len()].clone()).collect()
    }

    fn is_directory(&self, number: u64) -> bool {
        self.things[&number] == Thing::Directory
    }

    fn forget(&mut self, path: &Path) {
        if let Some(number) = self.names.remove(path)
            && !self.names.values().any(|other| *other == number)
        {
            self.things.remove(&number);
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Outcome {
        // Both directories are found before either name is looked up.
        self.parent_is_directory(from)?;
        self.parent_is_directory(to)?;
        let number = self.number(from)?;
        if self.is_directory(number) && to.len() > from.len() && to[..from.len()] == from[..] {
            return Err(Errno::EINVAL);
        }
        if let Some(&there) = self.names.get(to) {
            if there == number {
                return Ok(Seen::Nothing);
            }
            match (self.is_directory(number), self.is_directory(there)) {
                (true, false) => return Err(Errno::ENOTDIR),
                // A directory above the source is in use as one, and not empty.
                (false, true) if from.len() > to.len() && from[..to.len()] == to[..] => {
                    return Err(Errno::ENOTEMPTY);
                }
                (false, true) => return Err(Errno::EISDIR),
                (true, true) if !self.children(to).is_empty() => return Err(Errno::ENOTEMPTY),
                _ => self.forget(to),
            }
        }
        let moved: Vec<(Path, u64)> = self
            .names
            .iter()
            .filter(|(name, _)| name.len() >= from.len() && name[..from.len()] == from[..])
            .map(|(name, number)| (name.clone(), *number))
            .collect();
        for (name, number) in moved {
            self.names.remove(&name);
            let name = [to.clone(), name[from.len()..].to_vec()].concat();
            self.names.insert(name, number);
        }
        Ok(Seen::Nothing)
    }

    /// Does one step.
    pub fn apply(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Create(path) => self.put(path, Thing::File(Vec::new())),
            Step::MakeDirectory(path) => self.put(path, Thing::Directory),
            Step::Symlink(target, path) => self.put(path, Thing::Symlink(target.clone())),
            Step::Write(path, offset, bytes) => {
                let data = self.file(path)?;
                let end = usize::from(*offset) + bytes.len();
                if data.len() < end {
                    data.resize(end, 0);
                }
                data[usize::from(*offset)..end].copy_from_slice(bytes);
                Ok(Seen::Nothing)
            }
            Step::Read(path) => Ok(Seen::Data(self.file(path)?.clone())),
            Step::Truncate(path, size) => {
                self.file(path)?.resize(usize::from(*size), 0);
                Ok(Seen::Nothing)
            }
            Step::Unlink(path) => {
                if self.is_directory(self.number(path)?) {
                    return Err(Errno::EISDIR);
                }
                self.forget(path);
                Ok(Seen::Nothing)
            }
            Step::RemoveDirectory(path) => {
                if !self.is_directory(self.number(path)?) {
                    return Err(Errno::ENOTDIR);
                }
                if !self.children(path).is_empty() {
                    return Err(Errno::ENOTEMPTY);
                }
                self.forget(path);
                Ok(Seen::Nothing)
            }
            Step::Rename(from, to) => self.rename(from, to),
            Step::Link(from, to) => {
                let number = self.number(from)?;
                self.absent(to)?;
                if self.is_directory(number) {
                    return Err(Errno::EPERM);
                }
                self.names.insert(to.clone(), number);
                Ok(Seen::Nothing)
            }
            Step::ReadLink(path) => match &self.things[&self.number(path)?] {
                Thing::Symlink(target) => Ok(Seen::Data(target.clone().into_bytes())),
                _ => Err(Errno::EINVAL),
            },
            Step::List(path) => {
                let number = self.number(path)?;
                if !self.is_directory(number) {
                    return Err(Errno::ENOTDIR);
                }
                Ok(Seen::Names(self.children(path)))
            }
            Step::Stat(path) => {
                let number = self.number(path)?;
                let links = self.names.values().filter(|other| **other == number).count() as u32;
                Ok(match &self.things[&number] {
                    Thing::Directory => Seen::Stat('d', 0, 0),
                    Thing::File(data) => Seen::Stat('f', data.len() as u64, links),
                    Thing::Symlink(target) => Seen::Stat('l', target.len() as u64, links),
                })
            }
        }
    }
}
