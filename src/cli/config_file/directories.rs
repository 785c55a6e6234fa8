//! What the sources of a configuration need of this machine: their directories, and a mount that
//! does not serve itself.

use super::Wrong;
use super::document::Parsed;
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
        let Some(directory) = provider.source.local_directory() else { continue };
        let source = &provider.source;
        let wrong = |what: String| Wrong::new(lines.source, format!("source \"{source}\": {what}"));
        // Before it is looked at: a reload would ask the mount itself, and wait for itself.
        let served = locate::resolve(directory, mounts).map_err(|error| wrong(error.message))?;
        let place = mount_point.display();
        if mount_point.starts_with(&served) {
            return Err(wrong(format!("the mount point {place} is inside it; mount elsewhere")));
        }
        if served.starts_with(mount_point) {
            return Err(wrong(format!("it is inside the mount point {place}; name another")));
        }
        match std::fs::metadata(directory) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(wrong("not a directory; local: serves one".to_owned())),
            Err(error) => {
                let why = plain(&error);
                return Err(wrong(format!("{why}; local: serves a directory that is there")));
            }
        }
    }
    Ok(())
}
