//! A daemon in the background: this program started again, with a pipe on which it says how it
//! went.
//!
//! The child leaves the session at once; it keeps the caller's stderr until the mount answers, so
//! that its warnings are seen, and lets go of everything then. The parent relays the one line it
//! says.

use crate::app::{self, MountConfig};
use crate::base::clock::{Clock, SystemClock};
use crate::cli::args::daemon_words;
use crate::cli::commands::mount::WhenReady;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::logging;
use crate::cli::print;
use crate::cli::progress::Progress;
use crate::cli::vigil;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often an interrupt is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a child that was told to end is given before it is killed.
const END_WAIT: Duration = Duration::from_secs(5);
/// How long a child waits for its parent to hand the service over; it speaks for itself then.
const HAND_OVER_WAIT: Duration = Duration::from_secs(5);
/// Behind stdin, stdout and stderr.
const FIRST_OF_OTHERS: i32 = 3;
/// Longest line the child says, in bytes.
const LINE_MAX: usize = 64 * 1024;

/// The one line on the pipe.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// The mount answers.
    Ready,
    /// It does not, and nothing is left behind.
    Failed { exit: u8, message: String },
}

/// The child: serves with `serve`, which is given what to do once the mount answers. With
/// `handed_over` it waits then until its parent has handed the service over to it.
///
/// # Errors
/// The pipe cannot be written; everything else is said on it, or logged once the mount has
/// answered.
pub fn child(
    log_on_stderr: bool,
    handed_over: bool,
    serve: impl FnOnce(WhenReady<'_>) -> Result<Exit, Trouble>,
) -> Result<Exit, Trouble> {
    // Fails only for the leader of a process group, and the parent makes no such child.
    if let Err(error) = rustix::process::setsid() {
        print::complain(&format!("the daemon stays in this session: {error}"));
    }
    let told = AtomicBool::new(false);
    let outcome = serve(Box::new(|| {
        told.store(true, Ordering::SeqCst);
        say(&Word::Ready)?;
        if handed_over {
            await_hand_over();
        }
        let failed = |error: io::Error| Trouble::system("let go of the terminal", &error);
        rustix::process::chdir("/").map_err(|error| failed(error.into()))?;
        logging::leave_standard_streams(log_on_stderr).map_err(failed)
    }));
    match outcome {
        Ok(exit) => Ok(exit),
        Err(trouble) if told.load(Ordering::SeqCst) => {
            log::error!("{trouble}");
            Ok(trouble.exit)
        }
        Err(Trouble { exit, message, .. }) => {
            say(&Word::Failed { exit: exit.0, message })?;
            Ok(exit)
        }
    }
}

/// Waits until the parent has let go of the pipe: what this process said to the service manager
/// before, the manager would turn away, because the parent is the service still.
fn await_hand_over() {
    let clock = SystemClock::new();
    let last = clock.now().after(HAND_OVER_WAIT);
    let slice = Timespec::try_from(LOOK_EVERY).ok();
    while clock.now() < last {
        let pipe = rustix::stdio::stdout();
        // A pipe without a reader is an error, which is always told.
        let gone = poll(&mut [PollFd::new(&pipe, PollFlags::empty())], slice.as_ref());
        if gone.is_ok_and(|ready| ready > 0) {
            return;
        }
    }
}

fn say(word: &Word) -> Result<(), Trouble> {
    let text = serde_json::to_string(word)
        .map_err(|error| Trouble::failed(format!("cannot say how the mount went: {error}")))?;
    print::answer(&text).map(|_| ())
}

/// The parent: starts the child with the same words and waits until the mount answers.
///
/// # Errors
/// What the child says; it has ended then, and left nothing behind.
pub fn launch(
    words: &[OsString],
    environment: &Environment,
    config: &MountConfig,
) -> Result<(), Trouble> {
    let name = config.name.as_str();
    let interrupted = vigil::interrupt_flag()?;
    let mut command = Command::new(&environment.executable);
    command.args(&daemon_words(words)[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
    let failed = |error: io::Error| Trouble::system("start the daemon", &error);
    // A daemon lives long: whatever else the caller has open would be busy for as long.
    close_fds::set_fds_cloexec_threadsafe(FIRST_OF_OTHERS, &named_descriptors(words));
    let mut child = command.spawn().map_err(failed)?;
    let Some(mut stdout) = child.stdout.take() else {
        return Err(Trouble::failed("start the daemon: it has no pipe"));
    };
    let line = match read_line(&mut stdout, name, &interrupted) {
        Ok(line) => line,
        Err(trouble) => {
            end(&mut child);
            return Err(trouble);
        }
    };
    match serde_json::from_slice(&line) {
        Ok(Word::Ready) => {
            if let Some(notify) = &config.notify
                && let Err(error) = app::hand_over(notify, child.id())
            {
                print::complain(&format!("{error}; the service manager is not told of {name}"));
            }
            // Only now the child knows that it is the service.
            drop(stdout);
            Ok(())
        }
        Ok(Word::Failed { exit, message }) => {
            await_end(&mut child, END_WAIT);
            Err(Trouble::with_exit(Exit(exit), message))
        }
        Err(_) => {
            end(&mut child);
            let how = child.wait().map_or_else(|_| String::new(), how_it_ended);
            Err(Trouble::failed(format!("{name}: the daemon ended before the mount answered{how}")))
        }
    }
}

/// The descriptors that a command line means by `/dev/fd/N` or the like, wherever it does.
fn named_descriptors(words: &[OsString]) -> Vec<i32> {
    let of_word = |word: &OsString| {
        let word = word.to_string_lossy().into_owned();
        let number = |rest: &str| {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse().ok()
        };
        word.split("/fd/").skip(1).filter_map(number).collect::<Vec<i32>>()
    };
    words.iter().flat_map(of_word).collect()
}

/// One line from the child, or as much as it said before it ended.
fn read_line(
    pipe: &mut ChildStdout,
    name: &str,
    interrupted: &AtomicBool,
) -> Result<Vec<u8>, Trouble> {
    let failed = |error: io::Error| Trouble::system("wait for the daemon", &error);
    let mut progress = Progress::new();
    let mut line = Vec::new();
    let slice = Timespec::try_from(LOOK_EVERY).ok();
    while !line.ends_with(b"\n") && line.len() < LINE_MAX {
        if interrupted.load(Ordering::SeqCst) {
            let message = format!("{name}: interrupted; not mounted");
            return Err(Trouble { code: "interrupted", exit: Exit::INTERRUPTED, message });
        }
        let ready = poll(&mut [PollFd::new(pipe, PollFlags::IN)], slice.as_ref());
        match ready {
            Ok(0) => progress.show_text(&format!("{name}: mounting")),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(error.into())),
            Ok(_) => {
                let mut chunk = [0; 4096];
                match pipe.read(&mut chunk).map_err(failed)? {
                    0 => break,
                    count => line.extend_from_slice(&chunk[..count]),
                }
            }
        }
    }
    Ok(line)
}

/// Tells a child to end, and makes it if it does not.
fn end(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended already: there is nothing to do then.
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
    if !await_end(child, END_WAIT) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Waits for a child's end, up to `limit`; did it end?
fn await_end(child: &mut Child, limit: Duration) -> bool {
    let clock = SystemClock::new();
    let last = clock.now().after(limit);
    loop {
        match child.try_wait() {
            Ok(None) if clock.now() < last => std::thread::sleep(Duration::from_millis(20)),
            Ok(ended) => return ended.is_some(),
            Err(_) => return true,
        }
    }
}

/// ` (exit status 1)`, ` (signal 9)`.
fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!(" (exit status {code})"),
        (None, Some(signal)) => format!(" (signal {signal})"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_that_is_named_is_the_daemons_too() {
        let named = |line: &str| {
            named_descriptors(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
        };
        assert_eq!(named("minirdr mount memory: /dev/fd/7"), [7]);
        assert_eq!(named("minirdr mount --config=/proc/self/fd/63 /m --log /dev/fd/9"), [63, 9]);
        assert_eq!(named("minirdr mount local:/fd/x/dev/fd/4/sub /m -o fd=3"), [4]);
        assert!(named("minirdr mount memory: /m").is_empty());
    }

    #[test]
    fn what_is_said_is_one_line_that_reads_back() {
        let words =
            [Word::Ready, Word::Failed { exit: 5, message: "two\nlines \u{1b}".to_owned() }];
        for word in words {
            let text = serde_json::to_string(&word).expect("plain data");
            assert!(!text.contains('\n'), "{text}");
            assert_eq!(serde_json::from_str::<Word>(&text).expect("own text"), word);
        }
    }
}
