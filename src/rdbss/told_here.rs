//! Change notification in place of a server that has none: what is done through this mount is told
//! to the feeds it concerns. Without such a feed a request pays one atomic load for it.

use crate::base::name::Name;
use crate::base::status::Status;
use crate::mrx::request::{Change, ChangeKind, RenameMode};
use crate::rdbss::device::Device;
use crate::rdbss::feeding::of_interest;
use crate::rdbss::feeds::Fed;
use crate::rdbss::objects::fcb::Fcb;
use crate::rdbss::operation::{Answer, Node, Operation, Responder};
use std::sync::Arc;

/// One thing that happens to a name in a directory.
type Happening = (Node, Name, ChangeKind);

/// Tells what a request did when it is answered.
struct Telling {
    device: Arc<Device>,
    /// With the file that has the name now, which may be a directory that is followed itself.
    happenings: Vec<(Happening, Option<Arc<Fcb>>)>,
    responder: Box<dyn Responder>,
}

impl Responder for Telling {
    fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
        let Self { device, happenings, responder } = *self;
        // One that was given up on may have happened all the same.
        let unknown = matches!(answer, Err(Status::IoTimeout | Status::Cancelled));
        if answer.is_ok() || unknown {
            // Before the caller knows: what he does next is told after it.
            happenings.into_iter().for_each(|(happening, file)| device.tell_here(happening, file));
        }
        responder.respond(answer);
    }
}

impl Device {
    /// The responder of an operation; it tells what is done, if anybody is to be told.
    pub(in crate::rdbss) fn telling(
        &self,
        operation: &Operation<'_>,
        responder: Box<dyn Responder>,
    ) -> Box<dyn Responder> {
        if !self.feeds.any_local() {
            return responder;
        }
        let happenings = self.happenings(operation);
        if happenings.is_empty() {
            return responder;
        }
        let with_file = |happening: Happening| {
            let file = self.fcbs.named(happening.0.number(), &happening.1);
            (happening, file)
        };
        let happenings = happenings.into_iter().map(with_file).collect();
        Box::new(Telling { device: self.shared(), happenings, responder })
    }

    fn tell_here(&self, (directory, name, kind): Happening, file: Option<Arc<Fcb>>) {
        for (number, followed, reader) in self.feeds.local() {
            let change = if Arc::ptr_eq(&followed.node, &directory) {
                Change { name: Some(name.clone()), kind }
            } else if file.as_ref().is_some_and(|file| Arc::ptr_eq(&followed.node, file)) {
                // The followed directory itself.
                match (kind, &followed.only) {
                    (ChangeKind::Added, _) | (ChangeKind::Attributes, Some(_)) => continue,
                    _ => Change { name: None, kind },
                }
            } else {
                continue;
            };
            let (changes, gone) = of_interest(vec![change], followed.only.as_ref());
            if !changes.is_empty() {
                reader.fed(number, Fed::Changed(changes));
            }
            if gone {
                reader.fed(number, Fed::Gone);
            }
        }
    }

    /// What an operation does when it succeeds. No default arm: a new operation must choose.
    fn happenings(&self, operation: &Operation<'_>) -> Vec<Happening> {
        let at = |node: &Node, kind| match node.parent() {
            Some((parent, name)) => vec![(parent, name, kind)],
            None => Vec::new(),
        };
        let of_handle = |handle| match self.handles.get(handle) {
            Some(fobx) => at(&fobx.srv_open().fcb, ChangeKind::Modified),
            None => Vec::new(),
        };
        match operation {
            Operation::MakeNode { parent, name, .. }
            | Operation::Create { parent, name, .. }
            | Operation::Link { parent, name, .. } => {
                vec![(parent.clone(), name.clone(), ChangeKind::Added)]
            }
            Operation::Unlink { parent, name } | Operation::RemoveDirectory { parent, name } => {
                vec![(parent.clone(), name.clone(), ChangeKind::Removed)]
            }
            Operation::Rename { parent, name, new_parent, new_name, mode } => {
                renamed((parent, name), (new_parent, new_name), *mode)
            }
            Operation::Write { handle, .. }
            | Operation::Allocate { handle, .. }
            | Operation::CopyRange { to: handle, .. } => of_handle(*handle),
            Operation::Open { node, options } if options.truncate => at(node, ChangeKind::Modified),
            Operation::SetAttributes { node, set, .. } => match set.size {
                Some(_) => at(node, ChangeKind::Modified),
                None => at(node, ChangeKind::Attributes),
            },
            Operation::SetExtendedAttribute { node, .. }
            | Operation::RemoveExtendedAttribute { node, .. } => at(node, ChangeKind::Attributes),
            Operation::Lookup { .. }
            | Operation::GetAttributes { .. }
            | Operation::ReadLink { .. }
            | Operation::Open { .. }
            | Operation::OpenDirectory { .. }
            | Operation::Read { .. }
            | Operation::Flush { .. }
            | Operation::Release { .. }
            | Operation::Synchronize { .. }
            | Operation::ReadDirectory { .. }
            | Operation::QueryVolume { .. }
            | Operation::GetExtendedAttribute { .. }
            | Operation::ListExtendedAttributes { .. }
            | Operation::Access { .. }
            | Operation::Seek { .. }
            | Operation::GetLock { .. }
            | Operation::SetLock { .. } => Vec::new(),
        }
    }
}

/// Gone there and come here; of an exchange both at both.
fn renamed(from: (&Node, &Name), to: (&Node, &Name), mode: RenameMode) -> Vec<Happening> {
    let told = |(directory, name): (&Node, &Name), kind| (directory.clone(), name.clone(), kind);
    let mut all = vec![told(from, ChangeKind::Removed), told(to, ChangeKind::Added)];
    if mode == RenameMode::Exchange {
        all.insert(1, told(from, ChangeKind::Added));
        all.insert(2, told(to, ChangeKind::Removed));
    }
    all
}
