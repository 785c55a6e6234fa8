//! The only file that writes to stdout and stderr.
//!
//! stdout is the answer, stderr is progress and complaints. A reader that went away (`| head -1`)
//! is no error: the command ends quietly with the exit code it would have had.

use crate::cli::exit::{Trouble, plain};
use std::io::{self, IsTerminal, Write};

/// Is anybody still reading stdout?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Yes, as far as we know.
    Listening,
    /// The pipe is closed: a stream of answers can end.
    Gone,
}

/// Writes text to stdout, with a newline at its end, and flushes it.
///
/// # Errors
/// What the system says, except that a closed pipe is an answer.
pub fn answer(text: &str) -> Result<Reader, Trouble> {
    let mut out = io::stdout().lock();
    let mut write = || -> io::Result<()> {
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    written(write())
}

fn written(result: io::Result<()>) -> Result<Reader, Trouble> {
    match result {
        Ok(()) => Ok(Reader::Listening),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Trouble::failed(format!("cannot write the answer: {}", plain(&error)))),
    }
}

/// Writes a part of an answer to stdout; [`answer`] writes its end.
///
/// # Errors
/// As [`answer`].
pub fn part(text: &str) -> Result<Reader, Trouble> {
    written(io::stdout().lock().write_all(text.as_bytes()))
}

/// Writes one line to stderr. Nobody can be told if that fails.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes `minirdr: …` to stderr.
pub fn complain(message: &str) {
    note(&format!("minirdr: {message}"));
}

/// Is stderr a terminal, so that a progress line can be rewritten?
#[must_use]
pub fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Rewrites the last line of the terminal on stderr, cut to its width.
pub fn rewrite(line: &str) {
    let width = rustix::termios::tcgetwinsize(io::stderr()).map_or(80, |size| size.ws_col.max(1));
    // The last column stays free: a full line would wrap and could not be rewritten.
    let cut: String = line.chars().take(usize::from(width) - 1).collect();
    let mut out = io::stderr().lock();
    let _ = write!(out, "\r{cut}\x1b[K");
    let _ = out.flush();
}

/// Takes the rewritten line away.
pub fn erase() {
    let mut out = io::stderr().lock();
    let _ = write!(out, "\r\x1b[K");
    let _ = out.flush();
}
