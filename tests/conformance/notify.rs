//! Change notification, where it is offered. The core has no operation for it: the callout is made
//! here.

use crate::common::{LIMIT, plain};
use crate::rig::{Rig, name};
use minirdr::base::clock::Moment;
use minirdr::base::ids::{Caller, SerialNumber};
use minirdr::base::status::Status;
use minirdr::mrx::calldown::MiniRedirector;
use minirdr::mrx::low_io::{Completer, LowIo, Submission};
use minirdr::mrx::request::{
    Access, Change, ChangeKind, FileIdentity, FileRef, OpenRef, Opened, RenameMode,
};
use minirdr::mrx::upcall::RequestContext;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

type Routine = Box<dyn FnOnce() + Send>;

/// A request of nobody's.
#[derive(Default)]
pub struct Asker {
    cancelled: AtomicBool,
    routine: Mutex<Option<Routine>>,
}

impl Asker {
    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        let routine = self.routine.lock().expect("no test panics in here").take();
        routine.expect("what pends can be cancelled")();
    }
}

impl RequestContext for Asker {
    fn serial(&self) -> SerialNumber {
        SerialNumber(1)
    }

    fn caller(&self) -> Caller {
        Caller::default()
    }

    fn deadline(&self) -> Option<Moment> {
        None
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    fn set_cancel_routine(&self, routine: Routine) -> Result<(), Status> {
        if self.is_cancelled() {
            return Err(Status::Cancelled);
        }
        *self.routine.lock().expect("no test panics in here") = Some(routine);
        Ok(())
    }

    fn clear_cancel_routine(&self) -> bool {
        self.routine.lock().expect("no test panics in here").take().is_some()
    }
}

/// The root, opened on the redirector itself.
struct Watched {
    redirector: Arc<dyn MiniRedirector>,
    identity: FileIdentity,
    file: minirdr::mrx::request::Extension,
    open: Opened,
}

impl Watched {
    fn root(rig: &Rig) -> Self {
        let redirector = rig.redirector();
        let context = Asker::default();
        let server = redirector.create_srv_call(&context).expect("connected");
        let (_, found) = redirector.create_v_net_root(&context, &server).expect("a root");
        let (identity, file) = (found.identity, found.extension);
        let reference = FileRef { identity, extension: &file };
        let open = redirector.open(&context, reference, plain(Access::Read)).expect("opens");
        Self { redirector, identity, file, open }
    }

    fn open(&self) -> OpenRef<'_> {
        let file = FileRef { identity: self.identity, extension: &self.file };
        OpenRef { file, extension: &self.open.extension, options: plain(Access::Read) }
    }

    /// Asks for changes; the answer comes by the channel, now or later.
    fn ask(&self, context: &Asker) -> Receiver<Result<Vec<Change>, Status>> {
        let (sender, receiver) = channel();
        let later = sender.clone();
        let mut pend = || {
            let later = later.clone();
            Completer::new(move |result| drop(later.send(result)))
        };
        let submission = Submission::new(&mut pend);
        match self.redirector.notify_change_directory(context, self.open(), submission) {
            LowIo::Done(result) => sender.send(result).expect("the receiver is here"),
            LowIo::Pending => {}
        }
        receiver
    }
}

fn come(receiver: &Receiver<Result<Vec<Change>, Status>>) -> Result<Vec<Change>, Status> {
    receiver.recv_timeout(LIMIT).expect("told in time")
}

/// The watched root; none where notification is not offered, which then says so.
fn watched(rig: &Rig) -> Option<Watched> {
    let watched = Watched::root(rig);
    if rig.claims.notifies {
        return Some(watched);
    }
    assert_eq!(come(&watched.ask(&Asker::default())), Err(Status::NotImplemented));
    None
}

pub fn changes_of_names_are_told(rig: &Rig) {
    let Some(watched) = watched(rig) else { return };
    let root = rig.root();
    let context = Asker::default();
    let answer = watched.ask(&context);
    assert!(answer.try_recv().is_err(), "nothing has happened");
    rig.file(&root, "f", b"");
    let first = come(&answer).expect("told");
    let added = Change { name: Some(name("f")), kind: ChangeKind::Added };
    assert_eq!(first.first(), Some(&added));
    let mode = RenameMode::Replace;
    rig.rename((&root, "f"), (&root, "g"), mode).expect("moved");
    rig.unlink(&root, "g").expect("unlinked");
    let mut told = Vec::new();
    while !told.contains(&Change { name: Some(name("g")), kind: ChangeKind::Removed }) {
        told.extend(come(&watched.ask(&Asker::default())).expect("told"));
    }
    let (f_left, g_came) = (
        Change { name: Some(name("f")), kind: ChangeKind::Removed },
        Change { name: Some(name("g")), kind: ChangeKind::Added },
    );
    assert!(told.contains(&f_left) && told.contains(&g_came), "{told:?}");
}

pub fn changes_of_content_and_attributes_are_told(rig: &Rig) {
    let Some(watched) = watched(rig) else { return };
    let node = rig.file(&rig.root(), "f", b"");
    // From the first question on, changes are kept between two questions.
    let context = Asker::default();
    let answer = watched.ask(&context);
    let handle = rig.open(&node, Access::Write);
    rig.write(handle, 0, b"content");
    let modified = Change { name: Some(name("f")), kind: ChangeKind::Modified };
    assert_eq!(come(&answer), Ok(vec![modified]));
    rig.close(handle);
    rig.chmod(&node, 0o600);
    let attributes = Change { name: Some(name("f")), kind: ChangeKind::Attributes };
    assert_eq!(come(&watched.ask(&Asker::default())), Ok(vec![attributes]));
}

pub fn a_cancelled_question_ends_at_once(rig: &Rig) {
    let Some(watched) = watched(rig) else { return };
    let context = Asker::default();
    let answer = watched.ask(&context);
    context.cancel();
    assert_eq!(come(&answer), Err(Status::Cancelled));
    let answer = watched.ask(&Asker::default());
    rig.file(&rig.root(), "f", b"");
    assert!(come(&answer).is_ok(), "the next one is answered");
}
