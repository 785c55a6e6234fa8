//! Step 7 of a stop and what comes of it, without a kernel: the mount goes, stays, or was not the
//! last of its file system.

mod common;

use common::null::{Hold, Null, NullRedirector};
use common::{Host, LIMIT, Pending, wait_until};
use minirdr::base::ids::{NodeNumber, TicketNumber};
use minirdr::base::status::Status;
use minirdr::base::stop::{CallResult, OnDeadline, StopOptions};
use minirdr::rdbss::device::KernelSide;
use minirdr::rdbss::notice::{DeregisterError, FileSystemRegistration, KernelCache};
use minirdr::rdbss::operation::Operation;
use minirdr::rdbss::operation::operand::Access;
use std::sync::Arc;

fn host(null: &Arc<Null>) -> Host {
    Host::started(Arc::new(NullRedirector(null.clone())))
}

/// A mount point that counts how often it was taken away.
#[derive(Default)]
struct MountPoint {
    taken_away: std::sync::atomic::AtomicU32,
    /// There is a bind mount.
    elsewhere: bool,
}

impl FileSystemRegistration for MountPoint {
    fn deregister(&self, _lazy: bool) -> Result<bool, DeregisterError> {
        Ok(self.taken_away.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0)
    }

    fn has_ended(&self) -> bool {
        !self.elsewhere
    }
}

impl KernelCache for MountPoint {
    fn flush_file(&self, _: NodeNumber) {}
    fn forget_names(&self) {}
    fn settle(&self, _: std::time::Duration) -> bool {
        true
    }
}

/// `--unmount` of what is stopped already unmounts it, and says that it was stopped.
#[test]
fn a_stopped_device_can_still_be_unmounted() {
    let null = Null::inline();
    let host = host(&null);
    let mount_point = Arc::new(MountPoint::default());
    let (cache, registration) = (mount_point.clone(), mount_point.clone());
    host.device.attach_kernel(KernelSide { cache, registration });
    assert!(!host.stop().unmounted);
    let report = host.stop_with(StopOptions { unmount: true, ..StopOptions::default() });
    assert_eq!((report.result, report.unmounted), (CallResult::AlreadyStopped, true));
    assert_eq!(mount_point.taken_away.load(std::sync::atomic::Ordering::SeqCst), 1);
}

/// Stop.md §4 step 7 and S3: handles go with the file system, whose RELEASEs never come. They do
/// not go with one mount of it when there is another: whoever has a file open there closes it
/// himself.
#[test]
fn s3_handles_outlive_an_unmount_that_leaves_another_mount() {
    for elsewhere in [false, true] {
        let null = Null::inline();
        let host = host(&null);
        let mount_point = Arc::new(MountPoint { elsewhere, ..MountPoint::default() });
        let registration = mount_point.clone();
        host.device.attach_kernel(KernelSide { cache: mount_point, registration });
        let node = host.lookup(&host.root(), "f").expect("every name exists");
        let handle = host.open(&node, Access::Read).expect("opened");
        let report = host.stop_with(StopOptions { unmount: true, ..StopOptions::default() });
        assert!(report.unmounted);
        let expected = match elsewhere {
            false => (CallResult::Success, 0, Err(Status::InvalidHandle)),
            true => (CallResult::HasOpenHandles, 1, Ok(())),
        };
        let closed = host.release(handle);
        assert_eq!((report.result, report.survivors_total, closed), expected);
        let closes = null.calls().iter().filter(|call| **call == "close").count();
        assert_eq!(closes, 1, "once, by either");
    }
}

/// A stop whose `MRxStop` hangs until it is let go, and the close that it has put off, which keeps
/// the mount busy.
struct PutOff {
    null: Arc<Null>,
    host: Host,
    mount_point: Arc<BusyUntilClosed>,
    ticket: TicketNumber,
    close: Pending,
}

fn put_off(options: StopOptions) -> PutOff {
    let null = Null::posted();
    let host = host(&null);
    let file = host.lookup(&host.root(), "f").expect("exists");
    let handle = host.open(&file, Access::Read).expect("opens");
    let mount_point = Arc::new(BusyUntilClosed { device: host.device.clone(), tries: 0.into() });
    let (cache, registration) = (mount_point.clone(), mount_point.clone());
    host.device.attach_kernel(KernelSide { cache, registration });
    null.hold("stop", Hold::Stubbornly);
    let ticket = host.post_stop(options);
    wait_until("MRxStop runs", || null.inside("stop") == 1);
    let close = host.submit(Operation::Release { handle });
    PutOff { null, host, mount_point, ticket, close }
}

/// Stop.md §4 steps 4 and 7: a close that comes while the stop is sealed is put off until MRxStop
/// has returned, and keeps the mount busy until then; the mount goes all the same.
#[test]
fn a_close_that_was_put_off_does_not_keep_the_mount() {
    let PutOff { null, host, mount_point, ticket, close } =
        put_off(StopOptions { unmount: true, ..StopOptions::default() });
    null.release();
    assert!(close.recv_timeout(LIMIT).expect("answered").is_ok());
    let report = host.wait(ticket);
    assert_eq!((report.result, report.unmounted, report.error), (CallResult::Success, true, None));
    assert_eq!(mount_point.tries.load(std::sync::atomic::Ordering::SeqCst), 2);
}

/// S6: the same where `MRxStop` is given up on at the deadline, which is told.
///
/// The mount stayed, and that it did was not told: the one error took the other's place.
#[test]
fn s6_a_redirector_that_hangs_does_not_keep_the_mount() {
    let (deadline_s, on_deadline) = (Some(0.5), OnDeadline::Cancel);
    let options = StopOptions { unmount: true, deadline_s, on_deadline, ..StopOptions::default() };
    let PutOff { null, host, mount_point, ticket, close } = put_off(options);
    let report = host.wait(ticket);
    assert!(close.recv_timeout(LIMIT).expect("answered").is_ok());
    assert_eq!((report.result, report.unmounted), (CallResult::Success, true), "{report:?}");
    let told = "MRxStop: the server did not answer in time (ERROR_TIMEOUT, 1460)";
    assert_eq!(report.error.as_deref(), Some(told));
    assert_eq!(mount_point.tries.load(std::sync::atomic::Ordering::SeqCst), 2);
    null.release();
}

/// S6 and stop.md §4 step 7: an unmount that hangs (the kernel waits for a server that does not
/// answer) ends with the deadline like every callout, and the stop says that it is mounted still.
#[test]
fn s6_an_unmount_that_hangs_ends_with_the_deadline() {
    let null = Null::inline();
    let host = host(&null);
    let (let_go, held) = std::sync::mpsc::channel();
    let hanging = Arc::new(Hanging(std::sync::Mutex::new(Some(held))));
    let cache = Arc::new(MountPoint::default());
    host.device.attach_kernel(KernelSide { cache, registration: hanging.clone() });
    let (deadline_s, on_deadline) = (Some(0.1), OnDeadline::Cancel);
    let options = StopOptions { unmount: true, deadline_s, on_deadline, ..StopOptions::default() };
    let report = host.stop_with(options);
    assert_eq!((report.result, report.unmounted), (CallResult::Success, false));
    let said = report.error.expect("it says so");
    assert!(said.contains("did not end in time"), "{said}");
    // And the lane is free: it starts again although the thread still hangs.
    assert_eq!(host.start().result, CallResult::Success);
    drop(let_go);
    wait_until("it hangs no longer", || hanging.0.lock().expect("sound").is_none());
}

/// A mount point whose unmount hangs until the other end is dropped.
struct Hanging(std::sync::Mutex<Option<std::sync::mpsc::Receiver<()>>>);

impl FileSystemRegistration for Hanging {
    fn deregister(&self, _lazy: bool) -> Result<bool, DeregisterError> {
        let held = self.0.lock().expect("sound");
        // It ends with an error: nobody sends.
        let _ = held.as_ref().map(std::sync::mpsc::Receiver::recv);
        drop(held);
        *self.0.lock().expect("sound") = None;
        Ok(true)
    }

    fn has_ended(&self) -> bool {
        false
    }
}

/// A mount point that is busy while a handle is open.
struct BusyUntilClosed {
    device: Arc<minirdr::rdbss::device::Device>,
    tries: std::sync::atomic::AtomicUsize,
}

impl FileSystemRegistration for BusyUntilClosed {
    fn deregister(&self, _lazy: bool) -> Result<bool, DeregisterError> {
        self.tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        match self.device.status().open_handles {
            0 => Ok(true),
            _ => Err(DeregisterError::Busy),
        }
    }

    fn has_ended(&self) -> bool {
        self.device.status().open_handles == 0
    }
}

impl KernelCache for BusyUntilClosed {
    fn flush_file(&self, _: NodeNumber) {}
    fn forget_names(&self) {}
    fn settle(&self, _: std::time::Duration) -> bool {
        true
    }
}
