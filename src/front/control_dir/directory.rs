//! What each request on a control file does.
//!
//! Handles have numbers of their own: a request names the file by its node, so they cannot be taken
//! for the core's. Everything is read with direct I/O: what the kernel cached would be stale.

use crate::base::ids::Caller;
use crate::base::limits::{CONTROL_FILE_COMMAND_BYTES_MAX, CONTROL_FILE_HANDLES_MAX};
use crate::base::status::{Errno, Status};
use crate::base::sync::{Mutex, Rank, assert_no_locks};
use crate::front::control_dir::device::{ControlDevice, ControlReply};
use crate::front::control_dir::events::{EventDesk, ReadAnswer, Reader};
use crate::front::control_dir::ioctl::{Argument, ControlCode};
use crate::front::control_dir::nodes::{ControlFile, Owner};
use crate::rdbss::operation::operand::{Attributes, Buffering};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An open control file.
enum Handle {
    /// The directory.
    Directory,
    /// A text as it was when opened.
    Snapshot(Vec<u8>),
    /// `events`.
    Events {
        reader: Arc<Reader>,
        /// The kernel's poll handle; 0: it was never polled.
        poll: AtomicU64,
    },
    /// `control`: what is left of the last reply.
    Control(Mutex<Vec<u8>>),
}

/// The control directory of a mount.
pub struct ControlDirectory {
    name: OsString,
    device: Arc<dyn ControlDevice>,
    desk: Arc<EventDesk>,
    owner: Owner,
    handles: Mutex<HashMap<u64, Arc<Handle>>>,
    next_handle: AtomicU64,
}

/// What can be done with a handle now, as `poll` asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// A read would not wait.
    pub readable: bool,
    /// A write would not wait.
    pub writable: bool,
}

impl ControlDirectory {
    /// The directory of this name.
    #[must_use]
    pub fn new(
        name: OsString,
        device: Arc<dyn ControlDevice>,
        desk: Arc<EventDesk>,
        owner: Owner,
    ) -> Self {
        let handles = Mutex::new(Rank::Leaf, HashMap::new());
        Self { name, device, desk, owner, handles, next_handle: AtomicU64::new(1) }
    }

    /// Its name at the root.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Who waits for events.
    #[must_use]
    pub fn desk(&self) -> &Arc<EventDesk> {
        &self.desk
    }

    /// A file's attributes.
    #[must_use]
    pub fn attributes(&self, file: ControlFile) -> Attributes {
        file.attributes(self.owner)
    }

    /// Opens a file. `O_TRUNC` means nothing here.
    ///
    /// # Errors
    /// EACCES for `control` unless who opens it may command: a mount may do without the kernel's
    /// own check. ENFILE when too many are open.
    pub fn open(&self, file: ControlFile, caller: Caller) -> Result<(u64, Buffering), Status> {
        assert_no_locks("a question to the control device");
        if file == ControlFile::Control && !self.device.may_command(caller) {
            return Err(Status::AccessDenied);
        }
        let full = || self.device.may_see(caller);
        let handle = match file {
            ControlFile::Directory => Handle::Directory,
            ControlFile::Status => Handle::Snapshot(self.device.status_text().into_bytes()),
            ControlFile::Handles => Handle::Snapshot(self.device.handles_text(full()).into_bytes()),
            ControlFile::Events => {
                let reader = Arc::new(Reader::new(full()));
                Handle::Events { reader, poll: AtomicU64::new(0) }
            }
            ControlFile::Control => Handle::Control(Mutex::new(Rank::Leaf, Vec::new())),
        };
        let stream = matches!(file, ControlFile::Events | ControlFile::Control);
        let number = self.next_handle.fetch_add(1, Ordering::Relaxed);
        let mut handles = self.handles.lock();
        if handles.len() >= CONTROL_FILE_HANDLES_MAX {
            return Err(rustix::io::Errno::NFILE.into());
        }
        handles.insert(number, Arc::new(handle));
        let direct = file != ControlFile::Directory;
        Ok((number, Buffering { direct, stream, no_flush: direct, ..Buffering::default() }))
    }

    fn handle(&self, number: u64) -> Result<Arc<Handle>, Status> {
        self.handles.lock().get(&number).cloned().ok_or(Status::InvalidHandle)
    }

    /// Closes a handle.
    pub fn release(&self, number: u64) {
        let handle = self.handles.lock().remove(&number);
        if let Some(Handle::Events { poll, .. }) = handle.as_deref() {
            self.desk.forget_poll(poll.load(Ordering::Relaxed));
        }
    }

    /// Open handles.
    #[must_use]
    pub fn open_handles(&self) -> usize {
        self.handles.lock().len()
    }

    /// Reads. `answer` is called now, or when an event comes if the read waits.
    pub fn read(&self, read: Read, answer: ReadAnswer) {
        let handle = match self.handle(read.handle) {
            Ok(handle) => handle,
            Err(status) => return answer(Err(status.errno())),
        };
        let answered = match &*handle {
            Handle::Directory => Err(Errno::EISDIR),
            Handle::Snapshot(text) => {
                let start = usize::try_from(read.offset).unwrap_or(usize::MAX).min(text.len());
                let end = start.saturating_add(read.size).min(text.len());
                Ok(text[start..end].to_vec())
            }
            Handle::Control(reply) => {
                let mut reply = reply.lock();
                let end = read.size.min(reply.len());
                let rest = reply.split_off(end);
                Ok(std::mem::replace(&mut *reply, rest))
            }
            Handle::Events { reader, .. } => match reader.read(&*self.device, read.size) {
                Some(bytes) => Ok(bytes),
                None if read.nonblocking => Err(Errno::EAGAIN),
                None => return self.desk.park(reader.clone(), read.size, read.thread, answer),
            },
        };
        answer(answered);
    }

    /// A write to `control` is one command; its reply can be read back from the same handle. A
    /// command that was understood and came to nothing is no failed write: its reply says so.
    ///
    /// # Errors
    /// EINVAL: no such command; EACCES: the caller may not; E2BIG: too long; EBADF: not `control`.
    pub fn write(&self, number: u64, caller: Caller, data: &[u8]) -> Result<usize, Status> {
        let handle = self.handle(number)?;
        let Handle::Control(last) = &*handle else { return Err(Status::InvalidHandle) };
        if data.len() > CONTROL_FILE_COMMAND_BYTES_MAX {
            return Err(Status::Posix(Errno::E2BIG));
        }
        let text = std::str::from_utf8(data).map_err(|_| Status::InvalidParameter)?.trim();
        if text.is_empty() {
            return Err(Status::InvalidParameter);
        }
        let reply = self.command(caller, text);
        let mut line = reply.text.into_bytes();
        line.push(b'\n');
        let replaced = std::mem::replace(&mut *last.lock(), line);
        drop(replaced);
        [Status::InvalidParameter, Status::AccessDenied]
            .into_iter()
            .find(|refused| refused.code() == reply.status)
            .map_or(Ok(data.len()), Err)
    }

    /// The same by `ioctl`: the NTSTATUS and the ticket come back in the structure.
    ///
    /// # Errors
    /// ENOTTY: not one of ours, or not on `control`; EINVAL: the structure is wrong.
    pub fn ioctl(
        &self,
        number: u64,
        caller: Caller,
        code: u32,
        argument: &[u8],
    ) -> Result<Vec<u8>, Status> {
        let not_ours = Status::Posix(Errno::ENOTTY);
        let Handle::Control(_) = &*self.handle(number)? else { return Err(not_ours) };
        let code = ControlCode::from_number(code).ok_or(not_ours)?;
        let argument = Argument::parse(argument).ok_or(Status::InvalidParameter)?;
        let reply = self.command(caller, &argument.command(code));
        Ok(argument.answer(&reply).to_vec())
    }

    fn command(&self, caller: Caller, text: &str) -> ControlReply {
        assert_no_locks("a command to the control device");
        self.device.command(caller, text)
    }

    /// What could be done now. When nothing can be read and `schedule` names the kernel's poll
    /// handle, it is told of the next event.
    ///
    /// # Errors
    /// The handle is none.
    pub fn poll(&self, number: u64, schedule: Option<u64>) -> Result<Readiness, Status> {
        let handle = self.handle(number)?;
        Ok(match &*handle {
            Handle::Directory | Handle::Snapshot(_) => {
                Readiness { readable: true, writable: false }
            }
            Handle::Control(reply) => {
                Readiness { readable: !reply.lock().is_empty(), writable: true }
            }
            Handle::Events { reader, poll } => {
                if let Some(kernel) = schedule {
                    // Registered before looking: an event between the two is not missed.
                    poll.store(kernel, Ordering::Relaxed);
                    self.desk.register_poll(kernel);
                }
                Readiness { readable: reader.fill(&*self.device), writable: false }
            }
        })
    }
}

/// A read of a control file.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// The handle.
    pub handle: u64,
    /// First byte; streams have none.
    pub offset: u64,
    /// Bytes wanted.
    pub size: usize,
    /// O_NONBLOCK.
    pub nonblocking: bool,
    /// Thread that reads; 0 if the kernel does not say.
    pub thread: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::threads::Thread;
    use crate::front::control_dir::events::tests::TestDevice;
    use crate::rdbss::operation::operand::Timestamp;
    use std::sync::mpsc::channel;

    const CALLER: Caller = Caller::local(0, 5, 6);
    const OWNER: Caller = Caller::local(0, 1, 2);

    /// A directory, and its desk's thread, stopped and joined at the end.
    struct Fixture {
        device: Arc<TestDevice>,
        directory: ControlDirectory,
        // Joins when it is dropped, after `drop` below has told it to end.
        _thread: Thread,
    }

    impl Drop for Fixture {
        fn drop(&mut self) {
            self.directory.desk().stop();
        }
    }

    fn fixture() -> Fixture {
        let device = Arc::new(TestDevice::default());
        let (desk, thread) =
            EventDesk::open(device.clone(), Box::new(|_: &[u64]| {})).expect("room");
        let owner = Owner { uid: 1, gid: 2, group: None, since: Timestamp::default() };
        let name = OsString::from(".minirdr");
        let directory = ControlDirectory::new(name, device.clone(), desk, owner);
        Fixture { device, directory, _thread: thread }
    }

    fn read(directory: &ControlDirectory, handle: u64, offset: u64) -> Result<Vec<u8>, Errno> {
        let (sender, receiver) = channel();
        let read = Read { handle, offset, size: 4, nonblocking: true, thread: 0 };
        directory.read(read, Box::new(move |result| drop(sender.send(result))));
        receiver.recv().expect("a nonblocking read is answered at once")
    }

    #[test]
    fn a_snapshot_stays_what_it_was_and_ends() {
        let fixture = fixture();
        let (handle, buffering) = fixture.directory.open(ControlFile::Status, OWNER).expect("room");
        assert!(buffering.direct && !buffering.stream);
        assert_eq!(read(&fixture.directory, handle, 0), Ok(b"runn".to_vec()));
        assert_eq!(read(&fixture.directory, handle, 4), Ok(b"ing\n".to_vec()));
        assert_eq!(read(&fixture.directory, handle, 8), Ok(Vec::new()));
        assert_eq!(read(&fixture.directory, handle, u64::MAX), Ok(Vec::new()));
        fixture.directory.release(handle);
        assert_eq!(read(&fixture.directory, handle, 0), Err(Errno::EBADF));
    }

    #[test]
    fn a_command_is_carried_out_for_its_caller_and_answered_on_its_handle() {
        let fixture = fixture();
        let directory = &fixture.directory;
        let (handle, buffering) = directory.open(ControlFile::Control, OWNER).expect("room");
        assert!(buffering.stream);
        assert_eq!(directory.write(handle, CALLER, b"stop --check\n"), Ok(13));
        assert_eq!(fixture.device.commands(), [(CALLER, "stop --check".to_owned())]);
        assert_eq!(read(directory, handle, 0), Ok(b"stop".to_vec()));
        assert_eq!(read(directory, handle, 0), Ok(b" --c".to_vec()), "a stream goes on");
        assert_eq!(directory.write(handle, CALLER, b"nonsense"), Err(Status::InvalidParameter));
        assert_eq!(directory.write(handle, CALLER, b" \n"), Err(Status::InvalidParameter));
        assert_eq!(directory.write(handle, CALLER, &[0xff]), Err(Status::InvalidParameter));
        let long = vec![b'x'; CONTROL_FILE_COMMAND_BYTES_MAX + 1];
        assert_eq!(directory.write(handle, CALLER, &long), Err(Status::Posix(Errno::E2BIG)));
        let (status, _) = directory.open(ControlFile::Status, OWNER).expect("room");
        assert_eq!(directory.write(status, CALLER, b"stop"), Err(Status::InvalidHandle));
    }

    #[test]
    fn an_ioctl_carries_status_and_ticket() {
        let fixture = fixture();
        let directory = &fixture.directory;
        let (handle, _) = directory.open(ControlFile::Control, OWNER).expect("room");
        let argument = [0; 32];
        let stop = ControlCode::Stop.number();
        let answer = directory.ioctl(handle, CALLER, stop, &argument).expect("understood");
        assert_eq!((answer[0], answer[1], answer[8]), (0x03, 0x01, 7));
        let not_ours = Err(Status::Posix(Errno::ENOTTY));
        assert_eq!(directory.ioctl(handle, CALLER, 0x5401, &argument), not_ours);
        let short = directory.ioctl(handle, CALLER, stop, &argument[..8]);
        assert_eq!(short, Err(Status::InvalidParameter));
        let (events, _) = directory.open(ControlFile::Events, OWNER).expect("room");
        assert_eq!(directory.ioctl(events, CALLER, stop, &argument), not_ours);
    }

    /// Also on a mount without `default_permissions`.
    #[test]
    fn only_who_may_command_opens_control() {
        let fixture = fixture();
        let opens = |uid, gid| {
            let caller = Caller::local(0, uid, gid);
            fixture.directory.open(ControlFile::Control, caller).map(|_| ())
        };
        assert_eq!((opens(0, 2), opens(1, 2), opens(5, 50)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(opens(5, 2), Err(Status::AccessDenied));
        assert!(fixture.directory.open(ControlFile::Status, CALLER).is_ok());
    }

    /// Others may look, and see no paths.
    #[test]
    fn paths_are_for_those_who_may_see_them() {
        let fixture = fixture();
        let text = |caller| {
            let (handle, _) =
                fixture.directory.open(ControlFile::Handles, caller).expect("may look");
            read(&fixture.directory, handle, 0)
        };
        assert_eq!(text(OWNER), Ok(b"path".to_vec()));
        assert_eq!(text(CALLER), Ok(b"\n".to_vec()));
    }

    #[test]
    fn events_are_readable_when_there_are_some() {
        let fixture = fixture();
        let directory = &fixture.directory;
        let (handle, _) = directory.open(ControlFile::Events, OWNER).expect("room");
        assert_eq!(read(directory, handle, 0), Err(Errno::EAGAIN));
        let ready = |wanted| directory.poll(handle, None).map(|ready| ready.readable) == Ok(wanted);
        assert!(ready(false));
        fixture.device.event("a\n");
        assert!(ready(true));
        assert_eq!(read(directory, handle, 77), Ok(b"a\n".to_vec()), "a stream has no offset");
        assert!(ready(false));
    }

    #[test]
    fn handles_are_bounded() {
        let fixture = fixture();
        for _ in 0..CONTROL_FILE_HANDLES_MAX {
            fixture.directory.open(ControlFile::Directory, OWNER).expect("room");
        }
        let refused = fixture.directory.open(ControlFile::Directory, OWNER).map(|_| ());
        assert_eq!(refused.map_err(|status| status.errno().get()), Err(23));
        assert_eq!(fixture.directory.open_handles(), CONTROL_FILE_HANDLES_MAX);
    }
}
