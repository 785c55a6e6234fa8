//! The directory `STATE/NAME/unsent`: a record `N.json` and a file `N.data` for each write.
//!
//! The record makes the entry: it is renamed into place when the bytes are on disk, and removed
//! first. Everything is opened below descriptors of directories that are this user's own, and no
//! symbolic link is followed there, so that nobody else's file can be read or written through it.
//! Who changes the directory holds its lock: the daemon while it lives, or a command when none
//! does.

use crate::base::limits::UNSENT_RECORD_BYTES_MAX;
use crate::base::unsent::UnsentEntry;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, flock, fstat, fsync, mkdirat, openat,
    renameat, unlinkat,
};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The directory below a mount's state directory.
const DIRECTORY: &str = "unsent";
/// Only their owner may look: they hold other people's data.
const DIRECTORY_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Why what is unsent cannot be kept, or looked at.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("{} is in use by another minirdr", .0.display())]
    Busy(PathBuf),
    /// Somebody else could read or replace what is in it.
    #[error("{} is not this user's own directory, or others may write to it", .0.display())]
    Unsafe(PathBuf),
    /// The system refused something.
    #[error("{action} {}", path.display())]
    System {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// Does the system not let this user?
    #[must_use]
    pub fn is_permission(&self) -> bool {
        match self {
            Self::System { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::Busy(_) | Self::Unsafe(_) => false,
        }
    }

    /// The whole of it in one line.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::System { source, .. } => format!("{self}: {source}"),
            Self::Busy(_) | Self::Unsafe(_) => self.to_string(),
        }
    }
}

fn refused<E: Into<io::Error>>(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> StoreError + use<E> {
    let path = path.to_owned();
    move |source| StoreError::System { action, path, source: source.into() }
}

/// The directory, locked.
#[derive(Debug)]
pub struct Store {
    directory: Directory,
    next: AtomicU64,
}

/// A directory of this user's own, opened.
#[derive(Debug)]
pub(in crate::app) struct Directory {
    file: OwnedFd,
    path: PathBuf,
}

impl Store {
    /// Opens what a mount's state directory keeps; none: nothing was ever kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(state_dir: &Path) -> Result<Option<Self>, StoreError> {
        let Some(directory) = Directory::open(state_dir)? else { return Ok(None) };
        Self::lock(directory).map(Some)
    }

    /// The same, and makes it if it is not there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn make(state_dir: &Path) -> Result<Self, StoreError> {
        Directory::make(state_dir)?;
        match Self::open(state_dir)? {
            Some(store) => Ok(store),
            None => {
                let gone = io::Error::from(io::ErrorKind::NotFound);
                Err(refused("opening", &state_dir.join(DIRECTORY))(gone))
            }
        }
    }

    fn lock(directory: Directory) -> Result<Self, StoreError> {
        let locked = flock(&directory.file, FlockOperation::NonBlockingLockExclusive);
        match locked {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(StoreError::Busy(directory.path)),
            Err(error) => return Err(refused("locking", &directory.path)(error)),
        }
        directory.sweep()?;
        let last = directory.numbers()?.last().copied().unwrap_or(0);
        Ok(Self { directory, next: AtomicU64::new(last + 1) })
    }

    /// What is kept, in order of arrival. An entry whose record cannot be read is listed too: with
    /// its number, and what is wrong for its error.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn entries(&self) -> Result<Vec<UnsentEntry>, StoreError> {
        self.directory.entries()
    }

    /// Keeps a write: gives it its number and, with its bytes, its file. On disk when this returns,
    /// but for the names of the files: see [`Store::sync`]. On failure nothing is left.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add(&self, entry: &mut UnsentEntry, data: Option<&[u8]>) -> Result<(), StoreError> {
        entry.number = self.next.fetch_add(1, Ordering::Relaxed);
        entry.kept_in = None;
        let mut done = Ok(());
        if let Some(data) = data {
            let name = data_name(entry.number);
            entry.kept_in = Some(self.directory.path.join(&name).to_string_lossy().into_owned());
            done = self.directory.write(&name, data);
        }
        let done = done.and_then(|()| self.put(entry));
        if done.is_err() {
            self.directory.remove_files(entry.number);
        }
        done
    }

    /// Changes an entry's record.
    ///
    /// # Errors
    /// [`StoreError`]; the record is as it was.
    pub fn put(&self, entry: &UnsentEntry) -> Result<(), StoreError> {
        let (name, fresh) = (record_name(entry.number), format!("{}.new", entry.number));
        let path = self.directory.path.join(&name);
        let record = serde_json::to_vec(entry).map_err(refused("writing", &path))?;
        self.directory.write(&fresh, &record)?;
        let fd = self.directory.file.as_fd();
        renameat(fd, &fresh, fd, &name).map_err(refused("renaming to", &path))
    }

    /// Waits until the names of what was added, changed and removed are on disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sync(&self) -> Result<(), StoreError> {
        fsync(&self.directory.file).map_err(refused("writing", &self.directory.path))
    }

    /// The bytes of an entry.
    ///
    /// # Errors
    /// [`StoreError`]; also when they are not as many as the record says.
    pub fn data(&self, entry: &UnsentEntry) -> Result<Vec<u8>, StoreError> {
        let name = data_name(entry.number);
        let data = self.directory.read(&name, entry.bytes)?;
        if data.len() as u64 != entry.bytes {
            let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(refused("reading", &self.directory.path.join(&name))(cut));
        }
        Ok(data)
    }

    /// Keeps an entry no longer.
    ///
    /// # Errors
    /// [`StoreError`]; the entry is there still.
    pub fn remove(&self, number: u64) -> Result<(), StoreError> {
        let record = record_name(number);
        match unlinkat(&self.directory.file, &record, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => {
                return Err(refused("removing", &self.directory.path.join(&record))(error));
            }
        }
        self.directory.remove_files(number);
        Ok(())
    }
}

/// What a mount's state directory keeps, looked at without changing anything.
///
/// # Errors
/// [`StoreError`].
pub fn look(state_dir: &Path) -> Result<Vec<UnsentEntry>, StoreError> {
    match Directory::open(state_dir)? {
        Some(directory) => directory.entries(),
        None => Ok(Vec::new()),
    }
}

fn record_name(number: u64) -> String {
    format!("{number}.json")
}

fn data_name(number: u64) -> String {
    format!("{number}.data")
}

/// A directory that is this user's own and that nobody else can change.
fn own_directory(
    above: BorrowedFd<'_>,
    name: &Path,
    path: &Path,
    forbidden: Mode,
) -> Result<Option<OwnedFd>, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match openat(above, name, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(StoreError::Unsafe(path.to_owned())),
        Err(error) => return Err(refused("opening", path)(error)),
    };
    let found = fstat(&opened).map_err(refused("looking at", path))?;
    let own = found.st_uid == rustix::process::geteuid().as_raw();
    if !own || Mode::from_raw_mode(found.st_mode).intersects(forbidden) {
        return Err(StoreError::Unsafe(path.to_owned()));
    }
    Ok(Some(opened))
}

impl Directory {
    fn open(state_dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = state_dir.join(DIRECTORY);
        let Some(above) = Self::state(state_dir)? else { return Ok(None) };
        let others = Mode::RWXG | Mode::RWXO;
        let opened = own_directory(above.file.as_fd(), Path::new(DIRECTORY), &path, others)?;
        Ok(opened.map(|file| Self { file, path }))
    }

    /// A mount's state directory itself; none: there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(in crate::app) fn state(state_dir: &Path) -> Result<Option<Self>, StoreError> {
        let others = Mode::WGRP | Mode::WOTH;
        let opened = own_directory(CWD, state_dir, state_dir, others)?;
        Ok(opened.map(|file| Self { file, path: state_dir.to_owned() }))
    }

    /// The same, and makes it if it is not there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(in crate::app) fn make_state(state_dir: &Path) -> Result<Self, StoreError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(DIRECTORY_MODE.as_raw_mode());
        builder.create(state_dir).map_err(refused("making", state_dir))?;
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        Self::state(state_dir)?.ok_or_else(|| refused("making", state_dir)(gone()))
    }

    /// Puts a file with this content in its place, whatever was there: on disk, with its name, when
    /// this returns. On failure what was there before is there still.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(in crate::app) fn replace(&self, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let fresh = format!("{name}.new");
        // What a crash left half made.
        self.remove(&fresh)?;
        self.write(&fresh, content)?;
        let (fd, path) = (self.file.as_fd(), self.path.join(name));
        renameat(fd, &fresh, fd, name).map_err(refused("renaming to", &path))?;
        fsync(&self.file).map_err(refused("writing", &self.path))
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(in crate::app) fn remove(&self, name: &str) -> Result<(), StoreError> {
        match unlinkat(&self.file, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(refused("removing", &self.path.join(name))(error)),
        }
    }

    fn make(state_dir: &Path) -> Result<(), StoreError> {
        let above = Self::make_state(state_dir)?.file;
        match mkdirat(&above, DIRECTORY, DIRECTORY_MODE) {
            Ok(()) => fsync(&above).map_err(refused("writing", state_dir)),
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(refused("making", &state_dir.join(DIRECTORY))(error)),
        }
    }

    /// The names in it.
    fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = || refused("reading", &self.path);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.file).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            // Ours are numbers; whatever else is there is not looked at.
            names.extend(entry.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(names)
    }

    /// The numbers of the entries, in order.
    fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        let mut numbers: Vec<u64> = self
            .names()?
            .iter()
            .filter_map(|name| name.strip_suffix(".json")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Removes what a crash left half made: an entry is one when its record is there.
    fn sweep(&self) -> Result<(), StoreError> {
        let (names, numbers) = (self.names()?, self.numbers()?);
        for name in names {
            let Some((number, ending)) = name.split_once('.') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            let orphan = ending == "data" && numbers.binary_search(&number).is_err();
            if ending == "new" || orphan {
                let removed = unlinkat(&self.file, &name, AtFlags::empty());
                removed.map_err(refused("removing", &self.path.join(&name)))?;
            }
        }
        Ok(())
    }

    fn entries(&self) -> Result<Vec<UnsentEntry>, StoreError> {
        Ok(self.numbers()?.into_iter().filter_map(|number| self.entry(number)).collect())
    }

    /// An entry; none if it was removed meanwhile.
    fn entry(&self, number: u64) -> Option<UnsentEntry> {
        let name = record_name(number);
        let record = match self.read(&name, UNSENT_RECORD_BYTES_MAX) {
            Ok(record) => serde_json::from_slice::<UnsentEntry>(&record).map_err(io::Error::from),
            Err(StoreError::System { source, .. }) => Err(source),
            Err(StoreError::Busy(_) | StoreError::Unsafe(_)) => return None,
        };
        match record {
            // Its number is its name's: a record that says otherwise must not name another's file.
            Ok(entry) => Some(UnsentEntry {
                number,
                kept_in: entry
                    .kept_in
                    .map(|_| self.path.join(data_name(number)).to_string_lossy().into_owned()),
                ..entry
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let error = format!(
                    "its record {} cannot be read: {error}",
                    self.path.join(name).display()
                );
                Some(UnsentEntry { number, error, ..UnsentEntry::default() })
            }
        }
    }

    /// Makes a file with this content, on disk when this returns.
    fn write(&self, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let path = self.path.join(name);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&self.file, name, flags, FILE_MODE).map_err(refused("making", &path))?;
        let mut file = File::from(made);
        let written = file.write_all(content).and_then(|()| file.sync_all());
        written.map_err(|error| {
            // Nothing half written stays; that it could not be removed is no news beside that.
            let _ = unlinkat(&self.file, name, AtFlags::empty());
            refused("writing", &path)(error)
        })
    }

    /// A file's content, of which at most `most` bytes are read and one more.
    pub(in crate::app) fn read(&self, name: &str, most: u64) -> Result<Vec<u8>, StoreError> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened =
            openat(&self.file, name, flags, Mode::empty()).map_err(refused("opening", &path))?;
        let mut content = Vec::new();
        let read = File::from(opened).take(most.saturating_add(1)).read_to_end(&mut content);
        read.map_err(refused("reading", &path))?;
        Ok(content)
    }

    /// Removes what is beside an entry's record. What cannot be removed is swept next time.
    fn remove_files(&self, number: u64) {
        for name in [data_name(number), format!("{number}.new")] {
            match unlinkat(&self.file, &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => log::warn!("removing {}: {error}", self.path.join(&name).display()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
