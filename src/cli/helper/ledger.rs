//! What an installation put in place: looked at before it is written, and written down.
//!
//! The list is written first, with all that is to come: an installation that is interrupted can be
//! done again, or taken away. Directories that were made are on it, too. Each link and file has its
//! mark there, so that what somebody else has put to its place since is told from ours.

use crate::cli::exit::Trouble;
use crate::cli::print;
use crate::cli::table::printable;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

/// Hexadecimal digits of a mark on the list.
const MARK_DIGITS: usize = 16;

/// What is at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A symbolic link to this.
    Link(PathBuf),
    /// A file of these bytes.
    File(Vec<u8>),
}

impl Content {
    /// What is there; nothing for what is neither link nor file.
    fn at(path: &Path) -> Option<Self> {
        let kind = path.symlink_metadata().ok()?.file_type();
        match (kind.is_symlink(), kind.is_file()) {
            (true, _) => std::fs::read_link(path).ok().map(Self::Link),
            (false, true) => std::fs::read(path).ok().map(Self::File),
            (false, false) => None,
        }
    }

    /// A short number for it (FNV-1a): it tells ours from another's, and keeps no secret.
    fn mark(&self) -> u64 {
        let (kind, bytes) = match self {
            Self::Link(target) => (b'l', target.as_os_str().as_bytes()),
            Self::File(bytes) => (b'f', &**bytes),
        };
        let mix = |mark: u64, byte: &u8| (mark ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        [kind].iter().chain(bytes).fold(0xcbf2_9ce4_8422_2325, mix)
    }
}

/// One thing to be put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub content: Content,
}

impl Item {
    fn is_in_place(&self) -> bool {
        Content::at(&self.path).as_ref() == Some(&self.content)
    }

    /// Puts it in place in one step: whoever looks finds the old or the new.
    fn put(&self) -> io::Result<()> {
        let mut name = OsString::from(".minirdr-new-");
        name.push(self.path.file_name().unwrap_or_default());
        let new = self.path.with_file_name(name);
        // Of an installation that was interrupted.
        remove(&new)?;
        match &self.content {
            Content::Link(target) => symlink(target, &new)?,
            Content::File(bytes) => write(&new, bytes)?,
        }
        std::fs::rename(&new, &self.path)
    }
}

/// The list of one installation.
#[derive(Debug)]
pub struct Ledger {
    root: PathBuf,
    file: PathBuf,
    /// Links and files, each with the marks of what may be there: while an installation runs, of
    /// the old and the new.
    paths: BTreeMap<PathBuf, BTreeSet<u64>>,
    /// Directories that were not there before.
    directories: BTreeSet<PathBuf>,
}

impl Ledger {
    /// Reads the list; an empty one where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(root: &Path, file: PathBuf) -> Result<Self, Trouble> {
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Trouble::system(format!("read {}", shown(&file)), &error)),
        };
        let mut ledger = Self {
            root: root.to_owned(),
            file,
            paths: BTreeMap::new(),
            directories: BTreeSet::new(),
        };
        for line in text.split(|&byte| byte == b'\n') {
            if !ledger.take_line(line) {
                return Err(Trouble::failed(format!(
                    "{}: nothing of install-helpers: \"{}\"; nothing was changed",
                    shown(&ledger.file),
                    printable(line)
                )));
            }
        }
        Ok(ledger)
    }

    /// One line of the list; none is of a place that is not below the root.
    fn take_line(&mut self, line: &[u8]) -> bool {
        let below = |path: &[u8]| {
            let path = Path::new(OsStr::from_bytes(path));
            let all_normal = path.components().all(|part| matches!(part, Component::Normal(_)));
            (all_normal && !path.as_os_str().is_empty()).then(|| self.root.join(path))
        };
        match line {
            [] | [b'#', ..] => true,
            [b'd', b' ', path @ ..] => match below(path) {
                Some(path) => {
                    self.directories.insert(path);
                    true
                }
                None => false,
            },
            [b'f', b' ', rest @ ..] => {
                let Some((mark, rest)) = rest.split_at_checked(MARK_DIGITS) else { return false };
                let mark = std::str::from_utf8(mark).ok();
                let mark = mark.and_then(|mark| u64::from_str_radix(mark, 16).ok());
                let path = rest.strip_prefix(b" ").and_then(below);
                let (Some(mark), Some(path)) = (mark, path) else { return false };
                self.paths.entry(path).or_default().insert(mark);
                true
            }
            _ => false,
        }
    }

    /// Is what is there what was put there?
    fn is_ours(&self, path: &Path) -> bool {
        let marks = self.paths.get(path);
        marks.is_some_and(|marks| {
            Content::at(path).is_some_and(|found| marks.contains(&found.mark()))
        })
    }

    /// Does each place's way stay below the root? A link on it may lead out of an image.
    fn check_ways<'a>(&self, paths: impl Iterator<Item = &'a PathBuf>) -> Result<(), Trouble> {
        for path in paths {
            let there = path.ancestors().skip(1).find(|above| above.symlink_metadata().is_ok());
            let Some(above) = there else { continue };
            let real = std::fs::canonicalize(above)
                .map_err(|error| Trouble::system(shown(above), &error))?;
            if !real.starts_with(&self.root) {
                return Err(Trouble::failed(format!(
                    "{} leads out of {}, to {}: nothing was changed",
                    shown(above),
                    shown(&self.root),
                    shown(&real)
                )));
            }
        }
        Ok(())
    }

    /// Is everything ours that is where these are to be? What is on another list, is of a program
    /// in another place.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self, items: &[Item], other: &Self) -> Result<(), Trouble> {
        let in_the_way = |item: &&Item| {
            let is_there = item.path.symlink_metadata().is_ok();
            is_there && !self.is_ours(&item.path) && !item.is_in_place()
        };
        let places = items.iter().map(|item| &item.path);
        self.check_ways(places.chain(self.paths.keys()).chain([&self.file]))?;
        match items.iter().find(in_the_way) {
            None => Ok(()),
            Some(item) if other.is_ours(&item.path) => Err(Trouble::failed(format!(
                "{} was put there for a program in another place: nothing was changed; \
                 `minirdr install-helpers --uninstall` first",
                shown(&item.path)
            ))),
            Some(item) => Err(Trouble::failed(format!(
                "{} is there and was not put there by install-helpers, or is changed since: \
                 nothing was changed; remove it first",
                shown(&item.path)
            ))),
        }
    }

    /// Puts in place what is not; returns how many that were. What was installed before and is not
    /// among these goes.
    ///
    /// # Errors
    /// The system refuses; what was done is on the list.
    pub fn install(&mut self, items: &[Item]) -> Result<usize, Trouble> {
        // What somebody else put there as it should be is his still.
        let wanted: Vec<&Item> = items
            .iter()
            .filter(|item| self.paths.contains_key(&item.path) || !item.is_in_place())
            .collect();
        let now: BTreeMap<PathBuf, u64> =
            wanted.iter().map(|item| (item.path.clone(), item.content.mark())).collect();
        let old: Vec<PathBuf> =
            self.paths.keys().filter(|path| !now.contains_key(*path)).cloned().collect();
        let missing: Vec<&&Item> = wanted.iter().filter(|item| !item.is_in_place()).collect();
        if missing.is_empty() && old.is_empty() {
            return Ok(0);
        }
        for (path, &mark) in &now {
            self.paths.entry(path.clone()).or_default().insert(mark);
        }
        for path in self.paths.keys().chain([&self.file]) {
            let above = path.ancestors().skip(1).take_while(|above| *above != self.root);
            self.directories.extend(above.filter(|above| !above.is_dir()).map(Path::to_owned));
        }
        self.save()?;
        for item in &missing {
            let attempt = || format!("put {} in place", shown(&item.path));
            let above = item.path.parent().unwrap_or(Path::new("/"));
            let put = std::fs::create_dir_all(above).and_then(|()| item.put());
            put.map_err(|error| Trouble::system(attempt(), &error))?;
        }
        for path in old {
            if self.is_ours(&path) {
                remove(&path).map_err(|error| Trouble::system(shown(&path), &error))?;
            }
        }
        self.paths = now.into_iter().map(|(path, mark)| (path, BTreeSet::from([mark]))).collect();
        self.save()?;
        Ok(missing.len())
    }

    /// Takes away all that is on the list and as it was put there, and the list, last: returns how
    /// many files that were. What somebody else has put to such a place since is left there.
    ///
    /// # Errors
    /// The system refuses; what is left is on the list.
    pub fn uninstall(&self) -> Result<usize, Trouble> {
        let mut removed = 0;
        let failed = |path: &Path, error: io::Error| {
            Trouble::system(format!("take {} away", shown(path)), &error)
        };
        self.check_ways(self.paths.keys().chain(&self.directories).chain([&self.file]))?;
        for path in self.paths.keys() {
            if self.is_ours(path) {
                removed += usize::from(remove(path).map_err(|error| failed(path, error))?);
            } else if path.symlink_metadata().is_ok() {
                print::note(&format!("minirdr: {} is not what was installed: left", shown(path)));
            }
        }
        // Its own directories are left when it goes, and go last.
        let (above, others): (Vec<&PathBuf>, Vec<&PathBuf>) =
            self.directories.iter().rev().partition(|path| self.file.starts_with(path));
        Self::remove_directories(&others)?;
        remove(&self.file).map_err(|error| failed(&self.file, error))?;
        Self::remove_directories(&above)?;
        Ok(removed)
    }

    /// The deepest first. What somebody has put into one since keeps it.
    fn remove_directories(directories: &[&PathBuf]) -> Result<(), Trouble> {
        for directory in directories {
            match std::fs::remove_dir(directory) {
                Ok(()) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty => {}
                    _ => {
                        let attempt = format!("take {} away", shown(directory));
                        return Err(Trouble::system(attempt, &error));
                    }
                },
            }
        }
        Ok(())
    }

    fn save(&self) -> Result<(), Trouble> {
        let mut text =
            b"# What `minirdr install-helpers` put in place, for --uninstall.\n".to_vec();
        let lines = self.directories.iter().map(|path| ("d ".to_owned(), path));
        let files = self.paths.iter().flat_map(|(path, marks)| {
            marks.iter().map(move |mark| (format!("f {mark:0MARK_DIGITS$x} "), path))
        });
        for (word, path) in lines.chain(files) {
            let inside = path.strip_prefix(&self.root).unwrap_or(path);
            text.extend([word.as_bytes(), inside.as_os_str().as_bytes(), b"\n"].concat());
        }
        let above = self.file.parent().unwrap_or(Path::new("/"));
        let item = Item { path: self.file.clone(), content: Content::File(text) };
        let saved = std::fs::create_dir_all(above).and_then(|()| item.put());
        saved.map_err(|error| Trouble::system(format!("write {}", shown(&self.file)), &error))
    }
}

fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_bytes())
}

/// Everybody may read it, whatever the caller's umask: `mount` of a user reads it, too.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    io::Write::write_all(&mut file, bytes)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.set_permissions(mode)
}

/// Removes a link or file; was it there?
fn remove(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
