//! What the sources of a configuration need of this machine: their directories, and a mount that
//! does not serve itself.

use super::Wrong;
use super::document::Parsed;
use crate::app::Source;
use crate::cli::exit::plain;
use crate::cli::locate;
use crate::cli::mountinfo::Mount;
use std::path::Path;

/// Checks every directory that would be served.
///
/// # Errors
/// The first that is not there, is none, holds the mount point or is below it.
pub fn check(parsed: &Parsed, mount_point: &Path, mounts: &[Mount]) -> Result<(), Wrong> {
    for (provider, lines) in parsed.config.providers.iter().zip(&parsed.lines) {
        let source = &provider.source;
        check_one(source, mount_point, mounts)
            .map_err(|what| Wrong::new(lines.source, format!("source \"{source}\": {what}")))?;
    }
    Ok(())
}

/// Checks the directory that a source would serve, if it serves one.
///
/// # Errors
/// What is wrong with it.
pub fn check_one(source: &Source, mount_point: &Path, mounts: &[Mount]) -> Result<(), String> {
    let Some(directory) = source.local_directory() else { return Ok(()) };
    // Before it is looked at: a reload would ask the mount itself, and wait for itself.
    let served = locate::resolve(directory, mounts).map_err(|error| error.message)?;
    let place = mount_point.display();
    if mount_point.starts_with(&served) {
        return Err(format!("the mount point {place} is inside it; mount elsewhere"));
    }
    if served.starts_with(mount_point) {
        return Err(format!("it is inside the mount point {place}; name another"));
    }
    match std::fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err("not a directory; local: serves one".to_owned()),
        Err(error) => {
            let why = plain(&error);
            Err(format!("{why}; local: serves a directory that is there"))
        }
    }
}
