//! The daemon's log: how much is written, and where.
//!
//! The log goes to stderr; `--log FILE` puts that file there. HUP opens it anew, for logrotate.

use crate::base::threads::{self, Thread};
use crate::cli::exit::Trouble;
use log::LevelFilter;
use rustix::fs::{Mode, OFlags};
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::{Handle, Signals};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Starts logging. `directives` is `MINIRDR_LOG`; without it `usual` decides. Under journald a line
/// has no time.
pub fn start(directives: Option<&str>, usual: LevelFilter, journal: bool) {
    let mut builder = env_logger::Builder::new();
    if journal {
        builder.format_timestamp(None);
    }
    let level = match directives {
        None => Some(usual),
        Some(text) => text.trim().parse().ok(),
    };
    match (level, directives) {
        // Everything of ours passes the logger, and the one level in front of it decides: USR2 can
        // then turn debug logging on and off.
        (Some(_), _) => builder.filter_module("minirdr", LevelFilter::Trace),
        (None, text) => builder.parse_filters(text.unwrap_or("info")),
    };
    // A second logger in one process can only come from a test; the first one stays.
    if builder.try_init().is_ok()
        && let Some(level) = level
    {
        log::set_max_level(level);
    }
}

/// A log file on stderr, opened anew at every HUP until this is dropped.
#[derive(Debug)]
pub struct LogFile {
    // Dropped in this order: the signals end, then their thread is joined.
    _closing: Closing,
    _thread: Thread,
}

#[derive(Debug)]
struct Closing(Handle);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl LogFile {
    /// Appends stderr to the file from now on.
    ///
    /// # Errors
    /// The file cannot be opened, or its thread not started.
    pub fn open(path: &Path) -> Result<Self, Trouble> {
        let attempt = || format!("log to {}", path.display());
        let failed = |error: io::Error| Trouble::system(attempt(), &error);
        let path = std::path::absolute(path).map_err(failed)?;
        put_on_stderr(&path).map_err(failed)?;
        let mut signals = Signals::new([SIGHUP]).map_err(failed)?;
        let closing = Closing(signals.handle());
        let thread = threads::spawn("log-reopen", move || {
            for _ in signals.forever() {
                reopen(&path);
            }
        });
        Ok(Self { _closing: closing, _thread: thread.map_err(failed)? })
    }
}

/// The old file stays when the new one cannot be opened.
fn reopen(path: &Path) {
    match put_on_stderr(path) {
        Ok(()) => log::info!("log opened anew"),
        Err(error) => log::error!("log {} cannot be opened anew: {error}", path.display()),
    }
}

fn put_on_stderr(path: &Path) -> io::Result<()> {
    let file = open(path, OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND)?;
    Ok(rustix::stdio::dup2_stderr(&file)?)
}

fn open(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(rustix::fs::open(path, flags, Mode::from_raw_mode(0o640))?)
}

/// Lets go of the terminal or pipe this process was started with; stderr stays if a log is on it.
///
/// # Errors
/// `/dev/null` cannot be opened.
pub fn leave_standard_streams(log_on_stderr: bool) -> io::Result<()> {
    let null = open(Path::new("/dev/null"), OFlags::RDWR)?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    if !log_on_stderr {
        rustix::stdio::dup2_stderr(&null)?;
    }
    Ok(())
}
