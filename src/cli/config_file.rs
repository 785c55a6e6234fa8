//! The configuration file of a mount of several providers: `mount --config net.toml DIR`, and again
//! on SIGHUP. It is taken as a whole or refused as a whole, with one line: `FILE:LINE: what is
//! wrong, what would be right`.
//!
//! docs/NAMESPACE.md is its reference. `document` knows TOML and the keys, `directories` what of
//! this machine the sources need; what providers of one mount may be, `app` decides.

mod directories;
mod document;
#[cfg(test)]
mod tests;

pub use document::{Lines, Parsed, parse};

use crate::app::{NamespaceConfig, Source};
use crate::base::limits::CONFIG_FILE_BYTES_MAX;
use crate::cli::exit::{Trouble, plain};
use crate::cli::locate;
use crate::cli::table::printable;
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a file has to fit to.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Where it will be mounted, or is; without symlinks.
    pub mount_point: &'a Path,
    /// The name of the mount's control directory, if it has one.
    pub control_dir: Option<&'a str>,
}

/// What is wrong, and in which line; the first is 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The line.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Wrong {
    fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }
}

/// Reads and checks the file at an absolute path.
///
/// # Errors
/// One line that begins with the file: failed, or not permitted where the system says so.
pub fn read(path: &Path, around: Surroundings<'_>) -> Result<NamespaceConfig, Trouble> {
    let shown = printable(path.as_os_str().as_bytes());
    let text = read_text(path, &shown)?;
    let located =
        |Wrong { line, what }| Trouble::failed(one_line(&format!("{shown}:{line}: {what}")));
    let directory = path.parent().unwrap_or(Path::new("/"));
    let parsed = parse(&text, directory, around.control_dir).map_err(located)?;
    let mounts = locate::read_mounts()?;
    directories::check(&parsed, around.mount_point, &mounts).map_err(located)?;
    Ok(parsed.config)
}

/// Refuses a provider that is named as its mount is, once the name of that is known: events are
/// told apart by it. `config` is what was read.
///
/// # Errors
/// As [`read`].
pub fn check_mount_name(
    path: &Path,
    control_dir: Option<&str>,
    (config, name): (&NamespaceConfig, &str),
) -> Result<(), Trouble> {
    let Some(at) = config.providers.iter().position(|provider| provider.name == name) else {
        return Ok(());
    };
    let shown = printable(path.as_os_str().as_bytes());
    let text = read_text(path, &shown)?;
    let parsed = parse(&text, path.parent().unwrap_or(Path::new("/")), control_dir).ok();
    // Without one where the file has changed this moment.
    let line = parsed.and_then(|parsed| parsed.lines.get(at).map(|lines| lines.name));
    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
    let why = "their events could not be told apart; rename it, or name the mount with --name";
    let what = format!("provider \"{name}\" would be named as the mount is: {why}");
    Err(Trouble::failed(one_line(&format!("{shown}{line}: {what}"))))
}

/// Looks at what of this machine a source needs, where it would be shown by the mount on
/// `mount_point`.
///
/// # Errors
/// What is wrong with it.
pub fn look_at_source(source: &Source, mount_point: &Path) -> Result<(), String> {
    let mounts = locate::read_mounts().map_err(|error| error.message)?;
    directories::check_one(source, mount_point, &mounts)
}

/// Most characters of an error; what it repeats of a file may be as large as that.
const LINE_MAX: usize = 600;

/// Whatever a file had in it, an error is one line, of a length that can be read.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == LINE_MAX => return line + "…",
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

fn read_text(path: &Path, shown: &str) -> Result<String, Trouble> {
    let failed = |error: io::Error| Trouble::system(shown, &error);
    // A FIFO without a writer must not hold us up, and a terminal not become ours.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
    let kind = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?.st_mode;
    let kind = FileType::from_raw_mode(kind);
    if kind != FileType::RegularFile {
        return Err(Trouble::failed(format!(
            "{shown}: {}, not a regular file; the daemon reads it, and again on SIGHUP",
            kind_word(kind)
        )));
    }
    let mut bytes = Vec::new();
    File::from(file)
        .take(CONFIG_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Trouble::failed(format!("{shown}: {}", plain(&error))))?;
    if bytes.len() as u64 > CONFIG_FILE_BYTES_MAX {
        return Err(Trouble::failed(format!(
            "{shown}: larger than {CONFIG_FILE_BYTES_MAX} bytes, the most a configuration may have"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = line_at(error.as_bytes(), good);
        Trouble::failed(format!("{shown}:{line}: not UTF-8; a configuration is UTF-8 throughout"))
    })
}

fn kind_word(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    }
}

/// The line of the byte at `offset`, the first being 1.
fn line_at(text: &[u8], offset: usize) -> usize {
    text.iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}
