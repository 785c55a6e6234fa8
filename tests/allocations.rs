//! Allocations a request makes on its way through the core and back, without a kernel, over a
//! mini-redirector that makes none but for what its contract wants. A number that grows fails.
//!
//! `cargo test --test allocations -- --nocapture` prints them (docs/TESTING.md, "Allocations").

mod common;

use common::Host;
use common::null::{Null, NullRedirector};
use minirdr::base::ids::HandleNumber;
use minirdr::base::name::Name;
use minirdr::base::status::Status;
use minirdr::rdbss::operation::operand::{Access, OpenOptions};
use minirdr::rdbss::operation::{Answer, Dispatcher, Node, Operation, Responder, WriteData};
use std::cell::RefCell;
use std::sync::Arc;

thread_local! {
    static ANSWER: RefCell<Option<Result<Answer, Status>>> = const { RefCell::new(None) };
}

/// As large as what takes an answer to the kernel: a reply, its request, and a reference.
struct Courier {
    _weight: [u64; 16],
}

impl Responder for Courier {
    fn respond(self: Box<Self>, answer: Result<Answer, Status>) {
        ANSWER.set(Some(answer));
    }
}

struct Rig {
    host: Host,
    root: Node,
    file: Node,
}

impl Rig {
    fn new() -> Self {
        let host = Host::started(Arc::new(NullRedirector(Null::inline())));
        let root = host.root();
        let file = host.lookup(&root, "f").expect("every name exists");
        Self { host, root, file }
    }

    fn call(&self, operation: Operation<'_>) -> Answer {
        let courier = Box::new(Courier { _weight: [0; 16] });
        self.host.device.submit(self.host.caller, operation, courier);
        ANSWER.take().expect("answered on this thread").expect("a good answer")
    }

    fn lookup(&self) {
        let name = Name::new(b"f").expect("a name");
        drop(self.call(Operation::Lookup { parent: self.root.clone(), name }));
    }

    fn attributes(&self) {
        drop(self.call(Operation::GetAttributes { node: self.file.clone(), handle: None }));
    }

    fn open(&self) -> HandleNumber {
        let options = OpenOptions {
            access: Access::ReadWrite,
            append: false,
            truncate: false,
            direct: false,
            synchronous: false,
            kill_privileges: false,
        };
        match self.call(Operation::Open { node: self.file.clone(), options }) {
            Answer::Opened(open) => open.handle,
            other => panic!("{other:?}"),
        }
    }

    fn read(&self, handle: HandleNumber, buffer: Vec<u8>) -> Vec<u8> {
        match self.call(Operation::Read { handle, offset: 0, size: 4096, buffer }) {
            Answer::Data(data) => data,
            other => panic!("{other:?}"),
        }
    }

    fn write(&self, handle: HandleNumber, data: &[u8]) {
        let data = WriteData::Borrowed(data);
        let (write_back, kill_privileges) = (false, false);
        let write = Operation::Write { handle, offset: 0, data, write_back, kill_privileges };
        drop(self.call(write));
    }

    fn flush(&self, handle: HandleNumber) {
        drop(self.call(Operation::Flush { handle }));
    }

    fn release(&self, handle: HandleNumber) {
        drop(self.call(Operation::Release { handle }));
    }
}

/// What one call allocates.
fn counted<T>(body: impl FnOnce() -> T) -> (T, u64) {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(body()));
    (result.expect("it ran"), info.count_total)
}

#[test]
fn a_request_makes_a_handful_of_allocations() {
    let rig = Rig::new();
    let data = vec![7; 4096];
    // Tables grow to their size, and the redirector stops to remember its calls.
    for _ in 0..3000 {
        let handle = rig.open();
        rig.lookup();
        rig.attributes();
        rig.read(handle, Vec::new());
        rig.write(handle, &data);
        rig.flush(handle);
        rig.release(handle);
    }
    let ((), lookup) = counted(|| rig.lookup());
    let ((), attributes) = counted(|| rig.attributes());
    let (handle, open) = counted(|| rig.open());
    let buffer = Vec::with_capacity(4096);
    let (_, read) = counted(|| rig.read(handle, buffer));
    let ((), write) = counted(|| rig.write(handle, &data));
    let ((), flush) = counted(|| rig.flush(handle));
    let ((), release) = counted(|| rig.release(handle));
    let all = [
        // Two of a lookup's are the redirector's extension and the name.
        ("lookup", lookup, 4),
        ("getattr", attributes, 2),
        // One is the redirector's extension.
        ("open", open, 5),
        ("read", read, 2),
        ("write", write, 3),
        ("flush", flush, 3),
        ("release", release, 2),
    ];
    for (what, is, most) in all {
        println!("{what}: {is} allocations, at most {most}");
    }
    for (what, is, most) in all {
        assert!(is <= most, "{what} makes {is} allocations, and {most} were enough");
    }
}
