//! `docs/LIFECYCLE.md` says what the code does: its table of the machine cell by cell against
//! `lifecycle::step`, its table of the gate against `Operation::class` and the real gate. A test
//! that fails prints the table as it should be.

mod common;

use common::null::{Null, NullRedirector};
use common::{Host, plain};
use minirdr::base::ids::HandleNumber;
use minirdr::base::name::Name;
use minirdr::base::status::{Errno, Status};
use minirdr::base::stop::{CallResult, State};
use minirdr::rdbss::gate::{CloseEntry, Gate};
use minirdr::rdbss::lifecycle::{Action, Event, Refused, step};
use minirdr::rdbss::operation::operand::{
    Access, AllocateMode, Lock, LockKind, NewNode, RenameMode, SeekTo, SetAttributes,
    SetExtendedAttributeMode,
};
use minirdr::rdbss::operation::{Creation, Node, Operation, OperationClass};
use std::collections::BTreeSet;
use std::sync::Arc;

const DOCUMENT: &str = include_str!("../docs/LIFECYCLE.md");

/// The rows of the document's table whose head begins so, head first, cells trimmed.
fn table(head: &str) -> Vec<Vec<String>> {
    let mut lines = DOCUMENT.lines().skip_while(|line| !line.starts_with(head));
    let rows = lines.by_ref().take_while(|line| line.starts_with('|'));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let ruler = |row: &Vec<String>| row.iter().all(|cell| cell.chars().all(|mark| mark == '-'));
    rows.map(cells).filter(|row| !ruler(row)).collect()
}

fn print(rows: &[Vec<String>]) -> String {
    let lines = rows.iter().map(|row| format!("| {} |", row.join(" | ")));
    lines.collect::<Vec<_>>().join("\n")
}

fn row(cells: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    cells.into_iter().map(Into::into).collect()
}

// ---- the machine --------------------------------------------------------------------------------

/// Every event there is: `label` does not compile when one is missing.
fn events() -> Vec<Event> {
    let mut all = Vec::new();
    for grace in [false, true] {
        let called = [true, false].map(|quiet| Event::StopCalled { quiet, grace });
        all.extend(called);
    }
    all.extend([true, false].map(|quiet| Event::StartCalled { quiet }));
    all.extend([false, true].map(|grace| Event::StopTaken { grace }));
    all.extend([
        Event::StartTaken,
        Event::StartDone,
        Event::StartFailed,
        Event::GraceOver,
        Event::Drained,
        Event::StopDone,
        Event::RollBack,
        Event::PauseCalled,
        Event::ResumeCalled,
        Event::UnregisterCalled,
    ]);
    all
}

fn label(event: Event) -> &'static str {
    match event {
        Event::StopCalled { quiet: true, grace: false } => "StopCalled, quiet",
        Event::StopCalled { quiet: false, grace: false } => "StopCalled",
        Event::StopCalled { quiet: true, grace: true } => "StopCalled with a grace, quiet",
        Event::StopCalled { quiet: false, grace: true } => "StopCalled with a grace",
        Event::StartCalled { quiet: true } => "StartCalled, quiet",
        Event::StartCalled { quiet: false } => "StartCalled",
        Event::StopTaken { grace: false } => "StopTaken",
        Event::StopTaken { grace: true } => "StopTaken with a grace",
        Event::StartTaken => "StartTaken",
        Event::StartDone => "StartDone",
        Event::StartFailed => "StartFailed",
        Event::GraceOver => "GraceOver",
        Event::Drained => "Drained",
        Event::StopDone => "StopDone",
        Event::RollBack => "RollBack",
        Event::PauseCalled => "PauseCalled",
        Event::ResumeCalled => "ResumeCalled",
        Event::UnregisterCalled => "UnregisterCalled",
    }
}

fn does(action: Action) -> &'static str {
    match action {
        Action::Nothing => "",
        Action::Answer(CallResult::Success) => "SUCCESS",
        Action::Answer(CallResult::AlreadyStopped) => "STOPPED",
        Action::Answer(CallResult::AlreadyStarted) => "STARTED",
        Action::Answer(
            result @ (CallResult::HasOpenHandles
            | CallResult::RolledBack
            | CallResult::Lost
            | CallResult::Failed),
        ) => panic!("the machine alone cannot know {result:?}"),
        Action::Post => "post",
        Action::PostAndCancelStart => "post, cancel the start",
        Action::RunStart => "start",
        Action::RunGrace => "wait for handles",
        Action::RunDrain => "drain",
        Action::RollBackStop => "take the stop back",
    }
}

fn cell(state: State, event: Event) -> String {
    match step(state, event) {
        Ok((next, action)) if next == state => match does(action) {
            "" => "stays".to_owned(),
            does => does.to_owned(),
        },
        Ok((next, action)) => {
            format!("{next:?}: {}", does(action)).trim_end_matches(": ").to_owned()
        }
        Err(Refused::NotStopped) => "refused".to_owned(),
        Err(Refused::Impossible { .. }) => "–".to_owned(),
    }
}

/// Every state by every event.
#[test]
fn the_table_of_the_machine_is_true() {
    let mut expected = vec![row(["event"]
        .into_iter()
        .map(str::to_owned)
        .chain(State::ALL.iter().map(|state| format!("{state:?}"))))];
    for event in events() {
        let cells = State::ALL.iter().map(|state| cell(*state, event));
        expected.push(row(std::iter::once(label(event).to_owned()).chain(cells)));
    }
    let expected_text = print(&expected);
    assert!(table("| event |") == expected, "docs/LIFECYCLE.md should say:\n{expected_text}");
}

// ---- the gate -----------------------------------------------------------------------------------

/// What the kernel calls an operation, in each of its forms. Does not compile when one is missing.
fn requests(operation: &Operation<'_>) -> &'static [&'static str] {
    match operation {
        Operation::Lookup { .. } => &["LOOKUP"],
        Operation::GetAttributes { handle: Some(_), .. } => &["GETATTR with a handle"],
        Operation::GetAttributes { node, handle: None } if node.is_root() => {
            &["GETATTR of the root"]
        }
        Operation::GetAttributes { handle: None, .. } => &["GETATTR"],
        Operation::SetAttributes { handle: Some(_), .. } => &["SETATTR with a handle"],
        Operation::SetAttributes { handle: None, .. } => &["SETATTR"],
        Operation::ReadLink { .. } => &["READLINK"],
        Operation::MakeNode { .. } => &["MKNOD", "MKDIR", "SYMLINK"],
        Operation::Link { .. } => &["LINK"],
        Operation::Unlink { .. } => &["UNLINK"],
        Operation::RemoveDirectory { .. } => &["RMDIR"],
        Operation::Rename { .. } => &["RENAME"],
        Operation::Open { .. } => &["OPEN"],
        Operation::Create { .. } => &["CREATE"],
        Operation::Read { .. } => &["READ"],
        Operation::Write { write_back: false, .. } => &["WRITE"],
        Operation::Write { write_back: true, .. } => &["page write-back"],
        Operation::Flush { .. } => &["FLUSH"],
        Operation::Release { .. } => &["RELEASE", "RELEASEDIR"],
        Operation::Synchronize { .. } => &["FSYNC", "FSYNCDIR"],
        Operation::OpenDirectory { .. } => &["OPENDIR"],
        Operation::ReadDirectory { .. } => &["READDIR", "READDIRPLUS"],
        Operation::QueryVolume { .. } => &["STATFS"],
        Operation::GetExtendedAttribute { .. } => &["GETXATTR"],
        Operation::ListExtendedAttributes { .. } => &["LISTXATTR"],
        Operation::SetExtendedAttribute { .. } => &["SETXATTR"],
        Operation::RemoveExtendedAttribute { .. } => &["REMOVEXATTR"],
        Operation::Access { .. } => &["ACCESS"],
        Operation::Allocate { .. } => &["FALLOCATE"],
        Operation::Seek { .. } => &["LSEEK"],
        Operation::CopyRange { .. } => &["COPY_FILE_RANGE"],
        Operation::GetLock { .. } => &["GETLK"],
        Operation::SetLock { lock, .. } => match lock.kind {
            LockKind::Unlock => &["unlock"],
            LockKind::Shared | LockKind::Exclusive => &["SETLK", "SETLKW"],
        },
    }
}

fn on_names(parent: &Node, node: &Node) -> Vec<Operation<'static>> {
    let name = || Name::new(b"n").expect("a name");
    let (parent, node) = (|| parent.clone(), || node.clone());
    let creation = Creation { permissions: 0o644, umask: 0 };
    let options = plain(Access::Read);
    let (set, mode) = (SetAttributes::default(), SetExtendedAttributeMode::Any);
    let handle = Some(HandleNumber(1));
    vec![
        Operation::Lookup { parent: parent(), name: name() },
        Operation::GetAttributes { node: node(), handle },
        Operation::GetAttributes { node: node(), handle: None },
        Operation::GetAttributes { node: parent(), handle: None },
        Operation::SetAttributes { node: node(), handle, set },
        Operation::SetAttributes { node: node(), handle: None, set },
        Operation::ReadLink { node: node() },
        Operation::MakeNode { parent: parent(), name: name(), node: NewNode::Directory, creation },
        Operation::Link { node: node(), parent: parent(), name: name() },
        Operation::Unlink { parent: parent(), name: name() },
        Operation::RemoveDirectory { parent: parent(), name: name() },
        Operation::Rename {
            parent: parent(),
            name: name(),
            new_parent: parent(),
            new_name: name(),
            mode: RenameMode::Replace,
        },
        Operation::Open { node: node(), options },
        Operation::Create { parent: parent(), name: name(), creation, options, exclusive: true },
        Operation::OpenDirectory { node: parent() },
        Operation::QueryVolume { node: parent() },
        Operation::GetExtendedAttribute { node: node(), name: Vec::new() },
        Operation::ListExtendedAttributes { node: node() },
        Operation::SetExtendedAttribute { node: node(), name: vec![], value: vec![], mode },
        Operation::RemoveExtendedAttribute { node: node(), name: Vec::new() },
        Operation::Access { node: node(), mask: 4 },
    ]
}

fn on_handles() -> Vec<Operation<'static>> {
    let handle = HandleNumber(1);
    let lock = |kind| Lock { kind, start: 0, end: 0, owner: 0, pid: 0 };
    let write = |write_back| Operation::Write {
        handle,
        offset: 0,
        data: Vec::new().into(),
        write_back,
        kill_privileges: false,
    };
    let budget_bytes = 4096;
    vec![
        Operation::Read { handle, offset: 0, size: 1, buffer: Vec::new() },
        write(false),
        write(true),
        Operation::Flush { handle },
        Operation::Release { handle },
        Operation::Synchronize { handle, data_only: false },
        Operation::ReadDirectory { handle, from: 0, budget_bytes, with_files: false },
        Operation::Allocate { handle, offset: 0, length: 1, mode: AllocateMode::default() },
        Operation::Seek { handle, offset: 0, to: SeekTo::Data },
        Operation::CopyRange { from: handle, from_offset: 0, to: handle, to_offset: 0, length: 1 },
        Operation::GetLock { handle, lock: lock(LockKind::Shared) },
        Operation::SetLock { handle, lock: lock(LockKind::Shared), wait: false },
        Operation::SetLock { handle, lock: lock(LockKind::Unlock), wait: false },
    ]
}

const CLASSES: [(&str, OperationClass); 6] = [
    ("create, opens", OperationClass::Create { opens: true }),
    ("create, other", OperationClass::Create { opens: false }),
    ("handle I/O", OperationClass::HandleIo),
    ("name I/O", OperationClass::NameIo),
    ("cleanup", OperationClass::Cleanup),
    ("device", OperationClass::Device),
];

/// A gate in its first generation, in this state.
fn gate(state: State) -> Gate {
    let gate = Gate::new();
    for state in [State::StartInProgress, State::Started, state] {
        gate.drive(state);
    }
    gate
}

fn normal(state: State, opens: bool) -> &'static str {
    match gate(state).enter_normal(opens).map(drop) {
        Ok(()) => "passes",
        Err(status @ Status::RedirectorNotStarted) => {
            assert_eq!(status.errno(), Errno::ESHUTDOWN);
            "ESHUTDOWN"
        }
        Err(status @ Status::RedirectorPaused) => {
            assert_eq!(status.errno(), Errno::EAGAIN);
            "EAGAIN"
        }
        Err(other) => panic!("the gate says {other:?}"),
    }
}

fn answer(class: OperationClass, state: State) -> &'static str {
    match class {
        OperationClass::Create { opens } => normal(state, opens),
        OperationClass::HandleIo | OperationClass::NameIo => normal(state, false),
        OperationClass::Cleanup => {
            let gate = gate(state);
            match gate.enter_close(gate.view().generation) {
                CloseEntry::Counted(_) => "passes, counted",
                CloseEntry::Survivor => "passes",
                CloseEntry::Deferred => "put off",
            }
        }
        OperationClass::Device => match normal(state, false) {
            "passes" => "passes",
            _ => "last known",
        },
    }
}

/// Stop.md G2, §2: every class by every state, and every request in its class.
#[test]
fn g2_the_table_of_the_gate_is_true() {
    let host = Host::started(Arc::new(NullRedirector(Null::inline())));
    let root = host.root();
    let file = host.lookup(&root, "f").expect("every name exists");
    let mut all = on_names(&root, &file);
    all.extend(on_handles());
    let mut expected = vec![row(["class", "requests"]
        .map(str::to_owned)
        .into_iter()
        .chain(State::ALL.iter().map(|state| format!("{state:?}"))))];
    for (name, class) in CLASSES {
        let of_class = all.iter().filter(|operation| operation.class() == class);
        let names: Vec<&str> = of_class.flat_map(requests).copied().collect();
        let cells = State::ALL.iter().map(|state| answer(class, *state).to_owned());
        expected.push(row([name.to_owned(), names.join(", ")].into_iter().chain(cells)));
    }
    let named: BTreeSet<&str> = all.iter().flat_map(requests).copied().collect();
    assert_eq!(named.len(), 40, "a request is missing in this test: {named:?}");
    let expected_text = print(&expected);
    assert!(table("| class |") == expected, "docs/LIFECYCLE.md should say:\n{expected_text}");
}
