//! Sending the core's answers: one function a kind of reply.

use crate::base::status::{Errno, Status};
use crate::front::adapter::buffers;
use crate::front::adapter::front::{Call, Front};
use crate::front::translate::{self, SizedReply, sized_reply};
use crate::rdbss::operation::operand::FileKind;
use crate::rdbss::operation::{Answer, Node, NodeAnswer, OpenAnswer, Operation};
use fuser::{
    FileHandle, FopenFlags, Generation, INodeNo, ReplyAttr, ReplyCreate, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
};
use std::sync::Arc;
use std::time::Duration;

type Answered = Result<Answer, Status>;

/// Done, or not.
pub fn empty(front: &Arc<Front>, call: Call, reply: ReplyEmpty, answer: Answered) {
    match answer {
        Ok(Answer::Empty | Answer::Granted(..)) => reply.ok(),
        Ok(other) => reply.error(front.wrong(call.word, &other)),
        Err(status) => reply.error(translate::errno(status)),
    }
}

/// A name found or made.
pub fn entry(front: &Arc<Front>, call: Call, reply: ReplyEntry, answer: Answered) {
    match answer {
        Ok(Answer::Node(found)) => send_entry(front, reply, &found),
        Ok(other) => reply.error(front.wrong(call.word, &other)),
        Err(status) => reply.error(translate::errno(status)),
    }
}

/// A name looked for: that it does not exist may be worth remembering.
pub fn lookup(front: &Arc<Front>, call: Call, reply: ReplyEntry, answer: Answered) {
    let leased = match answer {
        Ok(Answer::Absent) => true,
        Err(status) if status.errno() == Errno::ENOENT => false,
        answer => return entry(front, call, reply, answer),
    };
    let lifetime = translate::lifetime(front.options.negative_lifetime(leased));
    if lifetime.is_zero() {
        return reply.error(translate::fuser_errno(Errno::ENOENT));
    }
    let nothing = translate::no_file(FileKind::Regular);
    reply.entry_with_ttls(&Duration::ZERO, &lifetime, &nothing, Generation(0));
}

/// A directory looked up as `.` in itself.
pub fn itself(node: Node) -> impl FnOnce(&Arc<Front>, Call, ReplyEntry, Answered) + Send + 'static {
    move |front, call, reply, answer| match answer {
        Ok(Answer::Attributes(attributes)) => {
            send_entry(front, reply, &NodeAnswer { node, attributes });
        }
        Ok(other) => reply.error(front.wrong(call.word, &other)),
        Err(status) => reply.error(translate::errno(status)),
    }
}

fn send_entry(front: &Front, reply: ReplyEntry, found: &NodeAnswer) {
    if !front.count(found) {
        return reply.error(fuser::Errno::EIO);
    }
    reply.entry_with_ttls(
        &translate::lifetime(front.options.attribute_lifetime(&found.attributes)),
        &translate::lifetime(front.options.entry_lifetime(&found.attributes)),
        &translate::attributes(found.node.number(), &found.attributes),
        Generation(found.node.reuse_generation()),
    );
}

/// Attributes of the file of this number.
pub fn attributes(
    number: INodeNo,
) -> impl FnOnce(&Arc<Front>, Call, ReplyAttr, Answered) + Send + 'static {
    move |front, call, reply, answer| match answer {
        Ok(Answer::Attributes(attributes)) => {
            let lifetime = translate::lifetime(front.options.attribute_lifetime(&attributes));
            let number = crate::base::ids::NodeNumber(number.0);
            reply.attr(&lifetime, &translate::attributes(number, &attributes));
        }
        Ok(other) => reply.error(front.wrong(call.word, &other)),
        Err(status) => reply.error(translate::errno(status)),
    }
}

/// The flags of an open. With locks of the server's own every close must be heard of, because it
/// gives them up.
fn open_flags(front: &Front, open: OpenAnswer) -> FopenFlags {
    let mut flags = translate::open_flags(open.buffering);
    if front.posix_locks {
        flags.remove(FopenFlags::FOPEN_NOFLUSH);
    }
    flags
}

/// An open.
pub fn opened(front: &Arc<Front>, call: Call, reply: ReplyOpen, answer: Answered) {
    match answer {
        Ok(Answer::Opened(open)) => {
            reply.opened(FileHandle(open.handle.0), open_flags(front, open));
        }
        Ok(other) => reply.error(front.wrong(call.word, &other)),
        Err(status) => reply.error(translate::errno(status)),
    }
}

/// A file made and opened.
pub fn created(front: &Arc<Front>, call: Call, reply: ReplyCreate, answer: Answered) {
    match answer {
        Ok(Answer::Created(found, open)) if front.count(&found) => {
            let options = &front.options;
            let entry = options.entry_lifetime(&found.attributes);
            let lifetime = entry.min(options.attribute_lifetime(&found.attributes));
            reply.created(
                &translate::lifetime(lifetime),
                &translate::attributes(found.node.number(), &found.attributes),
                Generation(found.node.reuse_generation()),
                FileHandle(open.handle.0),
                open_flags(front, open),
            );
        }
        Ok(Answer::Created(_, open)) => {
            // The kernel never hears of this handle: nobody else will release it.
            let release = Operation::Release { handle: open.handle };
            front.submit(call, release, reply, |_, _, reply, _| reply.error(fuser::Errno::EIO));
        }
        Ok(other) => reply.error(front.wrong(call.word, &other)),
        Err(status) => reply.error(translate::errno(status)),
    }
}

/// At most `size` bytes of data. The buffer is kept for the next read.
pub fn data(size: usize) -> impl FnOnce(&Arc<Front>, Call, ReplyData, Answered) + Send + 'static {
    move |front, call, reply, answer| match answer {
        Ok(Answer::Data(bytes)) if bytes.len() <= size => {
            reply.data(&bytes);
            buffers::give_back(bytes);
        }
        Ok(other) => reply.error(front.wrong(call.word, &other)),
        Err(status) => reply.error(translate::errno(status)),
    }
}

/// Bytes written or copied.
pub fn written(front: &Arc<Front>, call: Call, reply: ReplyWrite, answer: Answered) {
    match answer {
        Ok(Answer::Written(bytes)) => match u32::try_from(bytes) {
            Ok(bytes) => reply.written(bytes),
            Err(_) => reply.error(front.wrong(call.word, &Answer::Written(bytes))),
        },
        Ok(other) => reply.error(front.wrong(call.word, &other)),
        Err(status) => reply.error(translate::errno(status)),
    }
}

/// An offset.
pub fn offset(front: &Arc<Front>, call: Call, reply: ReplyLseek, answer: Answered) {
    match answer {
        Ok(Answer::Offset(offset)) => match i64::try_from(offset) {
            Ok(offset) => reply.offset(offset),
            Err(_) => reply.error(fuser::Errno::EOVERFLOW),
        },
        Ok(other) => reply.error(front.wrong(call.word, &other)),
        Err(status) => reply.error(translate::errno(status)),
    }
}

/// The volume.
pub fn volume(front: &Arc<Front>, call: Call, reply: ReplyStatfs, answer: Answered) {
    match answer {
        Ok(Answer::Volume(volume)) => reply.statfs(
            volume.blocks,
            volume.blocks_free,
            volume.blocks_available,
            volume.files,
            volume.files_free,
            volume.block_size,
            volume.name_bytes_max,
            volume.block_size,
        ),
        Ok(other) => reply.error(front.wrong(call.word, &other)),
        Err(status) => reply.error(translate::errno(status)),
    }
}

/// An extended attribute or the list of their names, by the size protocol.
pub fn sized(room: u32) -> impl FnOnce(&Arc<Front>, Call, ReplyXattr, Answered) + Send + 'static {
    move |front, call, reply, answer| match answer {
        Ok(Answer::Data(bytes)) => match sized_reply(room, bytes.len()) {
            SizedReply::Size(size) => reply.size(size),
            SizedReply::Data => reply.data(&bytes),
            SizedReply::Error(errno) => reply.error(translate::fuser_errno(errno)),
        },
        Ok(other) => reply.error(front.wrong(call.word, &other)),
        Err(status) => reply.error(translate::errno(status)),
    }
}
