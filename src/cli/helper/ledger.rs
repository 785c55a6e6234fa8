//! What an installation put in place: looked at before it is written, and written down.
//!
//! The list is written first, with all that is to come: an installation that is interrupted can be
//! done again, or taken away. Directories that were made are on it, too.

use crate::cli::exit::Trouble;
use crate::cli::table::printable;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

/// What is at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A symbolic link to this.
    Link(PathBuf),
    /// A file of these bytes.
    File(Vec<u8>),
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
        match &self.content {
            Content::Link(target) => {
                std::fs::read_link(&self.path).is_ok_and(|found| found == *target)
            }
            Content::File(bytes) => {
                let is_file = |found: std::fs::Metadata| found.is_file();
                self.path.symlink_metadata().is_ok_and(is_file)
                    && std::fs::read(&self.path).is_ok_and(|found| found == *bytes)
            }
        }
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
    /// Links and files.
    paths: BTreeSet<PathBuf>,
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
            paths: BTreeSet::new(),
            directories: BTreeSet::new(),
        };
        for line in text.split(|&byte| byte == b'\n') {
            let inside = |path: &[u8]| root.join(OsStr::from_bytes(path));
            match line {
                [b'd', b' ', path @ ..] => ledger.directories.insert(inside(path)),
                [b'f', b' ', path @ ..] => ledger.paths.insert(inside(path)),
                _ => false,
            };
        }
        Ok(ledger)
    }

    /// Is everything ours that is where these are to be?
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self, items: &[Item]) -> Result<(), Trouble> {
        let in_the_way = |item: &&Item| {
            let is_there = item.path.symlink_metadata().is_ok();
            is_there && !self.paths.contains(&item.path) && !item.is_in_place()
        };
        match items.iter().find(in_the_way) {
            None => Ok(()),
            Some(item) => Err(Trouble::failed(format!(
                "{} is there and was not put there by install-helpers: nothing was changed; remove \
                 it first",
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
            .filter(|item| self.paths.contains(&item.path) || !item.is_in_place())
            .collect();
        let now: BTreeSet<PathBuf> = wanted.iter().map(|item| item.path.clone()).collect();
        let old: Vec<PathBuf> = self.paths.difference(&now).cloned().collect();
        let missing: Vec<&&Item> = wanted.iter().filter(|item| !item.is_in_place()).collect();
        if missing.is_empty() && old.is_empty() {
            return Ok(0);
        }
        self.paths.extend(now);
        for path in self.paths.iter().chain([&self.file]) {
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
            remove(&path).map_err(|error| Trouble::system(shown(&path), &error))?;
            self.paths.remove(&path);
        }
        self.save()?;
        Ok(missing.len())
    }

    /// Takes away all that is on the list, and the list; returns how many files that were.
    ///
    /// # Errors
    /// The system refuses; what is left is on the list.
    pub fn uninstall(&self) -> Result<usize, Trouble> {
        let mut removed = 0;
        let failed = |path: &Path, error: io::Error| {
            Trouble::system(format!("take {} away", shown(path)), &error)
        };
        for path in &self.paths {
            removed += usize::from(remove(path).map_err(|error| failed(path, error))?);
        }
        remove(&self.file).map_err(|error| failed(&self.file, error))?;
        // The deepest first. What somebody has put into one since keeps it.
        for directory in self.directories.iter().rev() {
            match std::fs::remove_dir(directory) {
                Ok(()) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty => {}
                    _ => return Err(failed(directory, error)),
                },
            }
        }
        Ok(removed)
    }

    fn save(&self) -> Result<(), Trouble> {
        let mut text =
            b"# What `minirdr install-helpers` put in place, for --uninstall.\n".to_vec();
        let lines = self.directories.iter().map(|path| (b"d ", path));
        for (word, path) in lines.chain(self.paths.iter().map(|path| (b"f ", path))) {
            let inside = path.strip_prefix(&self.root).unwrap_or(path);
            text.extend([&word[..], inside.as_os_str().as_bytes(), b"\n"].concat());
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
