//! What the program takes from its surroundings: the only file that reads the environment.

use crate::cli::exit::Trouble;
use std::ffi::OsString;
use std::path::PathBuf;

/// Everything the program takes from its surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The user.
    pub uid: u32,
    /// Where this user's control sockets are.
    pub runtime_dir: PathBuf,
    /// Where this user's loss reports and saved configuration are, a directory a mount.
    pub state_dir: PathBuf,
    /// `MINIRDR_LOG`: a level, or `env_logger` directives.
    pub log: Option<String>,
    /// stderr goes to journald, which puts its own time on a line.
    pub journal: bool,
    /// Where programs are looked for.
    pub path: Option<OsString>,
    /// Where temporary directories are made.
    pub temporary_dir: PathBuf,
    /// This program's own file.
    pub executable: PathBuf,
}

/// A login session's directory: it vanishes with the session, and root's mounts must not.
const SESSIONS: &str = "/run/user";

impl Environment {
    /// Reads this process's surroundings.
    ///
    /// # Errors
    /// The system does not know where this program's file is.
    pub fn read() -> Result<Self, Trouble> {
        let executable = std::env::current_exe()
            .map_err(|error| Trouble::system("find this program's own file", &error))?;
        let uid = rustix::process::getuid().as_raw();
        Ok(Self::from_lookup(uid, executable, |name| std::env::var_os(name)))
    }

    /// The same from any set of variables.
    #[must_use]
    pub fn from_lookup(
        uid: u32,
        executable: PathBuf,
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        let absolute = |name: &str| lookup(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let session = absolute("XDG_RUNTIME_DIR").filter(|p| uid != 0 || !p.starts_with(SESSIONS));
        let runtime_dir = match (session, uid) {
            (Some(directory), _) => directory.join("minirdr"),
            (None, 0) => PathBuf::from("/run/minirdr"),
            (None, _) => PathBuf::from(format!("/tmp/minirdr-{uid}")),
        };
        let home_state = || absolute("HOME").map(|home| home.join(".local/state"));
        let state_dir = match (absolute("XDG_STATE_HOME"), uid) {
            (Some(directory), _) => directory.join("minirdr"),
            (None, 0) => PathBuf::from("/var/lib/minirdr"),
            (None, _) => match home_state() {
                Some(directory) => directory.join("minirdr"),
                None => runtime_dir.join("state"),
            },
        };
        Self {
            uid,
            runtime_dir,
            state_dir,
            log: lookup("MINIRDR_LOG").and_then(|text| text.into_string().ok()),
            journal: lookup("JOURNAL_STREAM").is_some(),
            path: lookup("PATH"),
            temporary_dir: absolute("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp")),
            executable,
        }
    }
}

/// The words this process was started with, program name first.
#[must_use]
pub fn words() -> Vec<OsString> {
    std::env::args_os().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(uid: u32, variables: &[(&str, &str)]) -> Environment {
        Environment::from_lookup(uid, PathBuf::from("/bin/minirdr"), |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn sockets_and_state_have_their_directories() {
        let cases = [
            (0, vec![], "/run/minirdr", "/var/lib/minirdr"),
            (0, vec![("XDG_RUNTIME_DIR", "/run/user/0")], "/run/minirdr", "/var/lib/minirdr"),
            (0, vec![("XDG_RUNTIME_DIR", "/tmp/t")], "/tmp/t/minirdr", "/var/lib/minirdr"),
            (7, vec![], "/tmp/minirdr-7", "/tmp/minirdr-7/state"),
            (7, vec![("XDG_RUNTIME_DIR", "relative")], "/tmp/minirdr-7", "/tmp/minirdr-7/state"),
            (
                7,
                vec![("XDG_RUNTIME_DIR", "/run/user/7"), ("HOME", "/home/ana")],
                "/run/user/7/minirdr",
                "/home/ana/.local/state/minirdr",
            ),
            (7, vec![("XDG_STATE_HOME", "/s")], "/tmp/minirdr-7", "/s/minirdr"),
        ];
        for (uid, variables, runtime, state) in cases {
            let environment = environment(uid, &variables);
            assert_eq!(environment.runtime_dir, PathBuf::from(runtime), "{uid} {variables:?}");
            assert_eq!(environment.state_dir, PathBuf::from(state), "{uid} {variables:?}");
        }
    }
}
