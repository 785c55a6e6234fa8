//! Every bound in the program, in one file, with the relations between them asserted.

use std::time::Duration;

/// Threads that read `/dev/fuse` (reference fuse.md 5.6: 2 to 4 on 2 cores).
pub const FUSE_THREADS: usize = 4;
/// Largest WRITE the kernel may send, in bytes (kernel cap: 256 pages).
pub const WRITE_BYTES_MAX: u32 = 1024 * 1024;
/// Background requests the kernel may queue (readahead, asynchronous direct I/O, RELEASE).
pub const BACKGROUND_REQUESTS_MAX: u16 = 128;

/// File system process: threads always there for posted requests (stop.md C3).
pub const FSP_WORKERS_MIN: usize = 2;
/// File system process: threads while none is stuck (stop.md C3).
pub const FSP_WORKERS_MAX: usize = 4;
/// File system process: threads when callouts hang; each stuck one is replaced up to this many.
pub const FSP_WORKERS_STUCK_MAX: usize = 64;
/// A worker this long inside one callout counts as stuck and is replaced.
pub const FSP_STUCK_AFTER: Duration = Duration::from_millis(500);
/// Posted requests waiting, all classes together (gate.md §3).
pub const FSP_QUEUE_MAX: usize = 4096;
/// Payload bytes copied into posted requests (gate.md §3).
pub const FSP_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// After this many critical jobs in a row one delayed job runs.
pub const FSP_CRITICAL_RUN_MAX: u32 = 16;

/// Start and stop calls waiting for the control thread.
pub const CONTROL_QUEUE_MAX: usize = 1024;
/// Results of ended tickets kept for late waiters (management.md §3).
pub const TICKET_RESULTS_KEPT: usize = 64;
/// Events kept for readers that connect late or read slowly (management.md §3).
pub const EVENTS_KEPT: usize = 4096;

/// Requests in flight a device admits: the gate's 20-bit field (gate.md §1.5).
pub const REQUESTS_IN_FLIGHT_MAX: u32 = (1 << 20) - 1;

/// How long a stop waits for RELEASEs on their way before it counts survivors (stop.md §4 step 9).
pub const RELEASE_GRACE: Duration = Duration::from_millis(100);
/// A request older than this is watched for a killed caller (reference fuse.md 5.3).
pub const WATCH_AFTER: Duration = Duration::from_millis(200);
/// How often the watcher looks.
pub const WATCH_EVERY: Duration = Duration::from_millis(200);
/// A request's own deadline unless the mount says otherwise.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(60);
/// How long the stop waits for the kernel to write dirty pages back when it has no deadline.
pub const WRITE_BACK_WAIT: Duration = Duration::from_secs(30);
/// A stop asked by a signal or an unmount (stop.md S1).
pub const SIGNAL_STOP_DEADLINE: Duration = Duration::from_secs(90);

/// Longest file name, in bytes (POSIX NAME_MAX).
pub const NAME_BYTES_MAX: usize = 255;
/// Changes kept for one watched directory until they are asked for; more become one `Overflow`.
pub const CHANGES_KEPT: usize = 256;
/// Reads and writes the `memory` mini-redirector holds back at once to play a slow server; further
/// ones wait on their own thread.
pub const DELAYED_REQUESTS_MAX: usize = 4096;
/// Bytes of the writes among them.
pub const DELAYED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Clients of the control socket at once.
pub const CONTROL_CLIENTS_MAX: usize = 128;
/// Longest control request, in bytes.
pub const CONTROL_REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// A control client that does not take its answer for this long is dropped.
pub const CONTROL_WRITE_TIMEOUT: Duration = Duration::from_secs(5);

const _: () = assert!(FSP_WORKERS_MIN <= FSP_WORKERS_MAX);
const _: () = assert!(FSP_WORKERS_MAX < FSP_WORKERS_STUCK_MAX, "stuck workers must be replaceable");
const _: () = assert!(
    FSP_QUEUE_MAX < REQUESTS_IN_FLIGHT_MAX as usize,
    "a full FSP queue must not fill the gate: closes must still pass"
);
const _: () = assert!(FSP_QUEUE_BYTES_MAX > WRITE_BYTES_MAX as usize, "one write must fit");
const _: () = assert!(DELAYED_BYTES_MAX > WRITE_BYTES_MAX as usize, "one write must fit");
const _: () = assert!(TICKET_RESULTS_KEPT <= CONTROL_QUEUE_MAX);
