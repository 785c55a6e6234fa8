//! `fusermount3`: the set-user-id program that mounts and unmounts for users other than root.
//!
//! It opens `/dev/fuse` itself and sends the descriptor back over a socket, whose number it finds
//! in `_FUSE_COMMFD`. The socket is the child's standard input: so nothing else is inherited.

use crate::base::limits::WRITE_BYTES_MAX;
use crate::base::programs::program;
use crate::front::error::FrontError;
use crate::front::options::MountConfig;
use crate::front::transport::attach::SUBTYPE;
use crate::rdbss::notice::DeregisterError;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Stdio;

const PROGRAM: &str = "fusermount3";

/// Mounts. Returns the connected descriptor.
///
/// # Errors
/// [`FrontError::HelperMissing`], or [`FrontError::Helper`] in the helper's words.
pub fn mount(config: &MountConfig, mount_point: &Path) -> Result<OwnedFd, FrontError> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(|errno| FrontError::Start(errno.into()))?;
    let failed = |words: String| FrontError::Helper { path: mount_point.to_owned(), words };
    let output = program(PROGRAM)
        .arg("-o")
        .arg(options(config))
        .arg("--")
        .arg(mount_point)
        .env("_FUSE_COMMFD", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::from(theirs))
        .output()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => FrontError::HelperMissing,
            _ => failed(not_started(&error)),
        })?;
    if !output.status.success() {
        return Err(failed(one_line(&output.stderr)));
    }
    receive(&ours).ok_or_else(|| failed(format!("{PROGRAM} sent no descriptor")))
}

/// Takes a mount out of the namespace.
///
/// # Errors
/// Busy, or the helper's words.
pub fn unmount(mount_point: &Path, lazy: bool) -> Result<(), DeregisterError> {
    let mut command = program(PROGRAM);
    command.arg("-u");
    if lazy {
        command.arg("-z");
    }
    let output = command
        .arg("--")
        .arg(mount_point)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| DeregisterError::Failed(not_started(&error)))?;
    if output.status.success() {
        return Ok(());
    }
    let words = one_line(&output.stderr);
    if words.contains("busy") {
        return Err(DeregisterError::Busy);
    }
    Err(DeregisterError::Failed(words))
}

fn not_started(error: &std::io::Error) -> String {
    format!("cannot run {PROGRAM}: {error}")
}

fn one_line(words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { format!("{PROGRAM} failed and said nothing") } else { words }
}

/// The options as the helper takes them. A comma or backslash in the source is escaped; without
/// that it would be an option of its own (fuse.md 1.9).
fn options(config: &MountConfig) -> OsString {
    let flags = config.flags;
    let mut text = b"fsname=".to_vec();
    for &byte in config.source.as_bytes() {
        if byte == b',' || byte == b'\\' {
            text.push(b'\\');
        }
        text.push(byte);
    }
    text.extend_from_slice(format!(",subtype={SUBTYPE},max_read={WRITE_BYTES_MAX}").as_bytes());
    for (word, wanted) in [
        (",allow_other", flags.allow_other),
        (",default_permissions", flags.default_permissions),
        (",ro", flags.read_only),
        (",noexec", flags.no_execute),
        (",noatime", flags.no_access_times),
        // One that does not know the word refuses: it means something for safety.
        (",nosymfollow", flags.no_symlinks),
        (",sync", flags.synchronous),
        (",dirsync", flags.directory_synchronous),
        (",suid", flags.set_id),
        (",nosuid", !flags.set_id),
        (",dev", flags.devices),
        (",nodev", !flags.devices),
    ] {
        if wanted {
            text.extend_from_slice(word.as_bytes());
        }
    }
    OsString::from_vec(text)
}

/// Takes the descriptor out of the one message the helper sent before it ended.
fn receive(socket: &OwnedFd) -> Option<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags).ok()?;
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    })
}

/// Is this mount point a descriptor: `/dev/fd/N`?
#[must_use]
pub fn descriptor_number(mount_point: &Path) -> Option<&OsStr> {
    let number = mount_point.strip_prefix("/dev/fd").ok()?.as_os_str();
    let digits = !number.is_empty() && number.as_bytes().iter().all(u8::is_ascii_digit);
    digits.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_the_source_makes_no_option() {
        let mut config = MountConfig::new("local:/a,suid\\b", "/mnt");
        config.flags.allow_other = true;
        let text = options(&config).into_string().expect("it is ASCII");
        assert_eq!(
            text,
            "fsname=local:/a\\,suid\\\\b,subtype=minirdr,max_read=1048576,allow_other,\
             default_permissions,nosuid,nodev"
        );
    }

    #[test]
    fn only_dev_fd_and_a_number_is_a_descriptor() {
        let number = |path| descriptor_number(Path::new(path)).and_then(OsStr::to_str);
        assert_eq!(number("/dev/fd/12"), Some("12"));
        for other in ["/dev/fd/", "/dev/fd/x", "/dev/fd/1/2", "/mnt/dev/fd/1", "dev/fd/1"] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
