//! What the program takes from its surroundings: the only file that reads the environment.

use crate::app::NotifyConfig;
use crate::cli::exit::Trouble;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

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
    /// The service manager, if it wants to hear of its service.
    pub manager: Option<Manager>,
}

/// What a service manager (systemd) says to the service it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// `NOTIFY_SOCKET`: where it listens.
    pub address: OsString,
    /// `WATCHDOG_USEC`: it ends a service that it does not hear of for so long.
    pub watchdog: Option<Duration>,
    /// `WATCHDOG_PID`: the process that is meant; none: whoever reads it.
    pub watchdog_pid: Option<u32>,
    /// `SYSTEMD_EXEC_PID`: the process it started itself; older ones do not say.
    pub started: Option<u32>,
}

impl Manager {
    fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let number = |name: &str| lookup(name)?.to_str()?.trim().parse::<u64>().ok();
        let process = |name: &str| number(name).and_then(|pid| u32::try_from(pid).ok());
        let address = lookup("NOTIFY_SOCKET").filter(|address| !address.is_empty())?;
        Some(Self {
            address,
            watchdog: number("WATCHDOG_USEC").filter(|usec| *usec > 0).map(Duration::from_micros),
            watchdog_pid: process("WATCHDOG_PID"),
            started: process("SYSTEMD_EXEC_PID"),
        })
    }

    /// What a daemon in front has to tell it.
    #[must_use]
    pub fn of_front(&self, own_pid: u32) -> NotifyConfig {
        self.config(own_pid, false)
    }

    /// What a daemon in the background has to tell it, and `starter`, which started it there, to
    /// hand over. Nothing where the manager started another process: that is the service, and goes
    /// on after this mount is up.
    #[must_use]
    pub fn of_background(&self, starter: u32) -> Option<NotifyConfig> {
        let is_service = self.started.is_none_or(|pid| pid == starter);
        is_service.then(|| self.config(starter, true))
    }

    fn config(&self, pid: u32, handed_over: bool) -> NotifyConfig {
        let watched = self.watchdog_pid.is_none_or(|watched| watched == pid);
        let watchdog = self.watchdog.filter(|_| watched);
        NotifyConfig { address: self.address.clone(), watchdog, handed_over }
    }
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
        Ok(Self::from_lookup(uid, executable, |name| match std::env::var_os(name) {
            // mount(8) takes it away from the helpers of a user's mounts.
            None if name == "HOME" => home_of(uid),
            found => found,
        }))
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
            manager: Manager::from_lookup(lookup),
        }
    }
}

/// A user's home directory, as the system's name service has it.
fn home_of(uid: u32) -> Option<OsString> {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok()??;
    Some(user.dir.into_os_string())
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

    const MANAGER: [(&str, &str); 2] = [("NOTIFY_SOCKET", "/run/n"), ("WATCHDOG_USEC", "30000000")];

    fn manager(variables: &[(&str, &str)]) -> Option<Manager> {
        environment(0, &[&MANAGER, variables].concat()).manager
    }

    #[test]
    fn a_service_manager_is_one_that_listens() {
        assert_eq!(environment(0, &[]).manager, None);
        assert_eq!(environment(0, &[("NOTIFY_SOCKET", "")]).manager, None);
        assert_eq!(environment(0, &[("WATCHDOG_USEC", "5")]).manager, None);
        let config = manager(&[]).expect("it listens").of_front(7);
        let period = Some(Duration::from_secs(30));
        assert_eq!(
            config,
            NotifyConfig { address: "/run/n".into(), watchdog: period, handed_over: false }
        );
        for odd in ["", "0", "-1", "soon"] {
            let environment =
                environment(0, &[("NOTIFY_SOCKET", "@n"), ("WATCHDOG_USEC", odd)]).manager;
            assert_eq!(environment.expect("it listens").watchdog, None, "{odd:?}");
        }
    }

    /// A watchdog is for the process that is named; one in the background takes its starter's over.
    #[test]
    fn the_watchdog_is_for_the_process_it_names() {
        let manager = manager(&[("WATCHDOG_PID", "7")]).expect("it listens");
        assert!(manager.of_front(7).watchdog.is_some());
        assert!(manager.of_front(8).watchdog.is_none());
        assert!(manager.of_background(7).is_some_and(|config| config.watchdog.is_some()));
        assert!(manager.of_background(8).is_some_and(|config| config.watchdog.is_none()));
    }

    /// A script of another service that mounts something in the background stays the service.
    #[test]
    fn only_what_the_manager_started_is_handed_over() {
        let manager = manager(&[("SYSTEMD_EXEC_PID", "7")]).expect("it listens");
        assert!(manager.of_background(7).is_some_and(|config| config.handed_over));
        assert_eq!(manager.of_background(8), None);
        assert!(!manager.of_front(8).handed_over, "a wrapper that waits is no other service");
    }
}
