//! Requests on the control files: answered here, in every state, uncounted by the core (stop.md
//! G4, G5).

use crate::base::status::{Errno, Status};
use crate::front::adapter::directory::ROOT;
use crate::front::adapter::front::{Call, Front};
use crate::front::control_dir::directory::{ControlDirectory, Read};
use crate::front::control_dir::nodes::ControlFile;
use crate::front::translate;
use crate::rdbss::operation::operand::FileKind;
use fuser::{
    FileHandle, Generation, INodeNo, PollEvents, PollFlags, PollNotifier, ReplyAttr, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEntry, ReplyOpen, ReplyPoll,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// What any file but `events` and `control` is always ready for, as the kernel's DEFAULT_POLLMASK.
pub(super) const ALWAYS_READY: PollEvents = PollEvents::POLLIN
    .union(PollEvents::POLLOUT)
    .union(PollEvents::POLLRDNORM)
    .union(PollEvents::POLLWRNORM);

/// The file a LOOKUP finds: the directory at the root, or a file in it. `None`: not ours to answer.
pub(super) fn found(
    front: &Front,
    parent: INodeNo,
    name: &OsStr,
) -> Option<Result<ControlFile, Errno>> {
    if front.is_control_name(parent, name) {
        return Some(Ok(ControlFile::Directory));
    }
    let (_, file) = front.control_file(parent)?;
    Some(match file {
        ControlFile::Directory if name == "." => Ok(file),
        ControlFile::Directory => ControlFile::named(name.as_bytes()).ok_or(Errno::ENOENT),
        _ => Err(Errno::ENOTDIR),
    })
}

impl Front {
    /// An entry for a control file. It is pinned: not counted.
    pub(super) fn send_control_entry(
        &self,
        control: &ControlDirectory,
        file: ControlFile,
        reply: ReplyEntry,
    ) {
        reply.entry_with_ttls(
            &translate::lifetime(self.options.attribute_timeout),
            &translate::lifetime(self.options.entry_timeout),
            &translate::attributes(file.number(), &control.attributes(file)),
            Generation(0),
        );
    }

    /// A control file's attributes.
    pub(super) fn send_control_attributes(
        &self,
        control: &ControlDirectory,
        file: ControlFile,
        reply: ReplyAttr,
    ) {
        let lifetime = translate::lifetime(self.options.attribute_timeout);
        let attributes = translate::attributes(file.number(), &control.attributes(file));
        reply.attr(&lifetime, &attributes);
    }
}

/// OPEN and OPENDIR.
pub(super) fn open(control: &ControlDirectory, file: ControlFile, call: &Call, reply: ReplyOpen) {
    match control.open(file, call.caller) {
        Ok((handle, buffering)) => {
            reply.opened(FileHandle(handle), translate::open_flags(buffering));
        }
        Err(status) => reply.error(translate::errno(status)),
    }
}

/// READ. One that waits for an event is no longer inside: a connection that is given away takes it
/// along unanswered.
pub(super) fn read(control: &ControlDirectory, call: Call, read: Read, reply: ReplyData) {
    let answer = move |answer: Result<Vec<u8>, Errno>| match answer {
        Ok(bytes) => reply.data(&bytes),
        Err(errno) => reply.error(translate::fuser_errno(errno)),
    };
    control.read(read, Box::new(answer));
    drop(call);
}

/// The entries of the control directory after a position.
fn entries(from: u64) -> impl Iterator<Item = (u64, ControlFile, &'static str, u64)> {
    let dots = [
        (ControlFile::Directory, ".", ControlFile::Directory.number().0),
        (ControlFile::Directory, "..", ROOT.0),
    ];
    let files = ControlFile::FILES.map(|file| (file, file.name(), file.number().0));
    let all = dots.into_iter().chain(files);
    let numbered = (1..).zip(all).map(|(next, (file, name, number))| (next, file, name, number));
    numbered.skip(usize::try_from(from).unwrap_or(usize::MAX))
}

/// READDIR.
pub(super) fn list(from: u64, mut reply: ReplyDirectory) {
    for (next, file, name, number) in entries(from) {
        if reply.add(INodeNo(number), next, translate::file_type(file.kind()), name) {
            break;
        }
    }
    reply.ok();
}

/// READDIRPLUS.
pub(super) fn list_with_files(
    front: &Front,
    control: &ControlDirectory,
    from: u64,
    mut reply: ReplyDirectoryPlus,
) {
    let lifetime = translate::lifetime(front.options.attribute_timeout);
    for (next, file, name, number) in entries(from) {
        let mut attributes = translate::attributes(file.number(), &control.attributes(file));
        attributes.ino = INodeNo(number);
        if file.kind() == FileKind::Directory {
            attributes.kind = fuser::FileType::Directory;
        }
        if reply.add(INodeNo(number), next, name, &lifetime, &attributes, Generation(0)) {
            break;
        }
    }
    reply.ok();
}

/// SETATTR: a truncation means nothing and does no harm, so that a shell's `>` works; anything else
/// is not for anybody.
pub(super) fn may_set(changes_more_than_size: bool) -> Result<(), Status> {
    if changes_more_than_size { Err(Status::Posix(Errno::EPERM)) } else { Ok(()) }
}

/// POLL.
pub(super) fn poll(
    control: &ControlDirectory,
    handle: FileHandle,
    notifier: &PollNotifier,
    (wanted, flags): (PollEvents, PollFlags),
    reply: ReplyPoll,
) {
    let schedule = flags.contains(PollFlags::FUSE_POLL_SCHEDULE_NOTIFY);
    match control.poll(handle.0, schedule.then_some(notifier.handle().0)) {
        Ok(ready) => {
            let mut events = PollEvents::empty();
            events.set(PollEvents::POLLIN | PollEvents::POLLRDNORM, ready.readable);
            events.set(PollEvents::POLLOUT | PollEvents::POLLWRNORM, ready.writable);
            reply.poll(events & wanted);
        }
        Err(status) => reply.error(translate::errno(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listing_goes_on_where_it_was_left() {
        let names = |from| entries(from).map(|(_, _, name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(0), [".", "..", "status", "handles", "events", "control"]);
        let (next, ..) = entries(0).nth(2).expect("six entries");
        assert_eq!(names(next), ["handles", "events", "control"]);
        assert!(names(6).is_empty() && names(u64::MAX).is_empty());
    }
}
