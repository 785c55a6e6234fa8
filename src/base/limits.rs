//! Every bound in the program, in one file, with the relations between them asserted.

use std::time::Duration;

/// Threads that read `/dev/fuse` (reference fuse.md 5.6: 2 to 4 on 2 cores).
pub const FUSE_THREADS: usize = 4;
/// Most threads `fuse_threads=` takes.
pub const FUSE_THREADS_MAX: usize = 64;
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
/// Requests that no worker could be had for and that run on the thread that brought them, at once:
/// the other threads must go on serving the kernel.
pub const FSP_INLINE_MAX: usize = FUSE_THREADS / 2;
/// After this many critical jobs in a row one delayed job runs.
pub const FSP_CRITICAL_RUN_MAX: u32 = 16;

/// Start and stop calls waiting for the control thread.
pub const CONTROL_QUEUE_MAX: usize = 1024;
/// Of these, so many are for root alone: nobody else can fill the queue against a shutdown.
pub const CONTROL_QUEUE_RESERVED: usize = CONTROL_QUEUE_MAX / 4;
/// How long a stop waits until what its device asked to keep is on disk; its report says so then.
pub const CONFIG_SETTLE_WAIT: Duration = Duration::from_secs(10);
/// The same once the stop's deadline has passed.
pub const CONFIG_SETTLE_LATE: Duration = Duration::from_secs(2);
/// The unmount of a stop may take so long, also when its deadline has passed.
pub const UNMOUNT_WAIT: Duration = Duration::from_secs(2);
/// Results of ended tickets kept for late waiters (management.md §3).
pub const TICKET_RESULTS_KEPT: usize = 64;
/// Losses a stop's report names one by one; more are summed up in one.
pub const LOSSES_KEPT: usize = 1024;
/// How long a report waits until what was lost is on disk; it is told without its place then.
pub const LOSSES_SETTLE_WAIT: Duration = Duration::from_secs(10);
/// Writes that did not reach the server, kept under the state directory of one mount; more are
/// named, and not kept.
pub const UNSENT_ENTRIES_MAX: usize = 1024;
/// Bytes of these.
pub const UNSENT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Longest record of one, in bytes: a path of PATH_MAX bytes, twice escaped, and an error.
pub const UNSENT_RECORD_BYTES_MAX: u64 = 128 * 1024;
/// Longest file of a device's configuration, in bytes: paths and options, escaped.
pub const SAVED_BYTES_MAX: u64 = 1024 * 1024;
/// A replay gives up on one request after this long, and keeps what it was to put on the server.
pub const REPLAY_REQUEST_WAIT: Duration = Duration::from_secs(90);
/// Events kept for readers that connect late or read slowly (management.md §3).
pub const EVENTS_KEPT: usize = 4096;

/// Of these, so many results (`stopped`, `started`) and so many losses and survivors are kept when
/// the rest has been overtaken.
pub const EVENTS_LASTING_KEPT: usize = EVENTS_KEPT / 4;
/// Devices with a queue of events of their own; further ones share one.
pub const EVENT_DEVICES_MAX: usize = 16;
/// Progress and refusals of one kind are told at most this often (management.md §3).
pub const EVENTS_COALESCED_FOR: Duration = Duration::from_secs(1);
/// Kinds of progress and refusal told apart at once; a further one is told uncoalesced.
pub const EVENTS_COALESCED_MAX: usize = 256;
/// Listeners of the event queue.
pub const EVENT_LISTENERS_MAX: usize = 64;

/// Requests in flight a device admits: the gate's 20-bit field (gate.md §1.5).
pub const REQUESTS_IN_FLIGHT_MAX: u32 = (1 << 20) - 1;

/// How long a stop waits for RELEASEs on their way before it counts survivors (stop.md §4 step 9).
pub const RELEASE_GRACE: Duration = Duration::from_millis(100);
/// A delayed close is made after this long without an open that wants it (rdbss.md 7.4).
pub const SCAVENGER_TIMEOUT: Duration = Duration::from_secs(10);
/// Delayed closes a mini-redirector may ask for, for each server (Windows' DormantFileLimit).
pub const DELAYED_CLOSES_MAX: usize = 1023;
/// What was told to end gets this long to do so by itself: requests and their cancel routines, a
/// cancelled start, and callouts of a stop whose deadline has passed.
pub const CANCEL_GRACE: Duration = Duration::from_millis(500);
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

/// libmount's programs, which write down what a mount's helper is, get this long.
pub const UTAB_WAIT: Duration = Duration::from_secs(2);

/// S-55: a stop whose deadline passed has ended 6 s later; on a loaded machine it is given more.
pub const STOP_OVERRUN: Duration = Duration::from_secs(10);

/// The service manager is told new numbers at most so often.
pub const NOTIFY_NUMBERS_EVERY: Duration = Duration::from_secs(1);
/// And anything at all at most so often: a state that flaps is told as it is then.
pub const NOTIFY_GAP: Duration = Duration::from_millis(50);
/// What a stop that gets on is given by the service manager, at least. Longer than any step that
/// nothing is seen of.
pub const NOTIFY_GRANT: Duration = Duration::from_secs(60);
/// How long a word to the service manager waits for room in its queue.
pub const NOTIFY_SEND_WAIT: Duration = Duration::from_millis(500);
/// Longest status told to the service manager, in bytes; it takes messages of 4096.
pub const NOTIFY_STATUS_BYTES_MAX: usize = 1024;

/// Longest file name, in bytes (POSIX NAME_MAX).
pub const NAME_BYTES_MAX: usize = 255;
/// Changes kept for one watched directory until they are asked for; more become one `Overflow`.
pub const CHANGES_KEPT: usize = 256;
/// What is read of an inotify queue at once; one event takes up to 272 bytes.
pub const INOTIFY_BUFFER_BYTES: usize = 64 * 1024;
/// How often a lone reader that has served a request looks for the next one before it sleeps; a
/// look takes about half a microsecond.
pub const LINGER_LOOKS: usize = 40;
/// Where nothing comes, it looks again after at most so many requests.
pub const LINGER_SKIPS_MAX: u32 = 1024;
/// How often a spare worker looks whether requests are taken.
pub const DEPUTY_TICK: Duration = Duration::from_millis(1);
/// A lone reader looks at every so many requests whether the next one is there already.
pub const BACKLOG_LOOKS: usize = 8;
/// What is read of a fanotify queue at once; one event takes up to some 400 bytes.
pub const LEASE_BUFFER_BYTES: usize = 64 * 1024;
/// Changes that others make in so short a time are taken together. As long as that, what they
/// changed may still be seen as it was.
pub const LEASE_BATCH: Duration = Duration::from_millis(2);
/// Directories whose handles are remembered while what is read at once is worked on.
pub const LEASE_DIRECTORIES_MAX: usize = 1024;
/// How long what is leased may be used without asking again. What is never told (a write through a
/// shared mapping of the server's file), or told while an answer was on its way, is seen after it.
pub const LEASE_LIFETIME: Duration = Duration::from_secs(10);
/// Reads and writes the `memory` mini-redirector holds back at once to play a slow server; further
/// ones wait on their own thread.
pub const DELAYED_REQUESTS_MAX: usize = 4096;
/// Bytes of the writes among them.
pub const DELAYED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Feeds of a device that are opened at once; each costs a thread meanwhile.
pub const FEED_OPENS_MAX: usize = 8;

/// Names the kernel is told one by one to forget; for more it is told to forget all.
pub const NOTIFIER_NAMES_MAX: usize = 1024;
/// A prefix that changes hands waits so long for the kernel to be told.
pub const HAND_OVER_SETTLE_WAIT: Duration = Duration::from_secs(5);
/// Longest name in a mount's namespace, in bytes (POSIX PATH_MAX).
pub const NET_NAME_BYTES_MAX: usize = 4096;
/// Providers of one mount.
pub const PROVIDERS_MAX: usize = 1024;
/// Providers of one mount that are added, removed or replaced at once.
pub const PROVIDER_CALLS_MAX: usize = 16;
/// Prefixes of the providers that one mount is configured with, all together: each is a share, a
/// device with a tag of its own (7 bits; 0 is the router's, 127 is not given).
pub const SHARES_MAX: usize = 126;
/// Largest configuration file, in bytes.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Prefixes of one mount.
pub const PREFIXES_MAX: usize = 65_536;
/// Names whose claims, or whose refusals, the router remembers.
pub const ROUTES_CACHED_MAX: usize = 1 << 20;
/// How long a claim is remembered.
pub const ROUTE_LIFETIME: Duration = Duration::from_secs(60);
/// How long it is remembered that nobody claims a name.
pub const REFUSAL_LIFETIME: Duration = Duration::from_secs(5);
/// Purged names told one by one when a prefix changes hands; beyond it, only that there are more.
pub const PURGED_NAMES_MAX: usize = 4096;
/// Users' views of one share kept while nobody uses them.
pub const VIEWS_KEPT: usize = 64;
/// A change is told when the kernel has been told to forget what it knew, but not later than this.
pub const FEED_SETTLE_WAIT: Duration = Duration::from_secs(1);
/// Live watches of one mount.
pub const WATCHES_MAX: usize = 4096;
/// Changes kept for one watch until it takes them; more become one overflow.
pub const WATCH_CHANGES_KEPT: usize = 1024;

/// Clients of the control socket at once.
pub const CONTROL_CLIENTS_MAX: usize = 128;
/// Of these, clients that are neither root nor the owner leave so many to those who are; the owner
/// leaves half of them to root.
pub const CONTROL_CLIENTS_RESERVED: usize = CONTROL_CLIENTS_MAX / 2;
/// Longest control request, in bytes.
pub const CONTROL_REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Longest control reply a client accepts, in bytes.
pub const CONTROL_REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A control client gives up when the daemon does not take its connection for this long.
pub const CONTROL_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A control client gives up on a reply that has nothing to wait for after this long.
pub const CONTROL_REPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// How often whoever waits on the control socket looks whether it is still worth it.
pub const CONTROL_WAIT_SLICE: Duration = Duration::from_millis(250);
/// Holders and requests listed in one reply; the totals are always given.
pub const LISTED_MAX: usize = 1024;
/// Handles that a listing of holders merges with the scan of `/proc`; those beyond are counted.
pub const MERGED_MAX: usize = 65_536;
/// Descriptors and mappings on the mount that one scan of `/proc` looks at.
pub const FOUND_MAX: usize = 65_536;
/// Handles listed in the control file `handles`.
pub const CONTROL_FILE_LISTED_MAX: usize = 10_000;
/// Survivors listed in a report; the count is exact whatever their number.
pub const SURVIVORS_LISTED_MAX: usize = 1000;
/// Scans of `/proc` at once.
pub const SCANS_MAX: usize = 4;
/// Handles or holders in one page of a reply.
pub const PAGE_MAX: usize = 256;
/// A control client that does not take its answer for this long is dropped.
pub const CONTROL_WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Endpoints of the remote management interface.
pub const RPC_ENDPOINTS_MAX: usize = 8;
/// Connections of each of them at once: strangers on a network cannot take those of a Unix socket.
pub const RPC_CONNECTIONS_MAX: usize = 32;
/// Its calls at once, over all connections; a further one is told that the server is too busy.
pub const RPC_CALLS_MAX: u32 = 64;
/// Networks that may be allowed to stop it.
pub const RPC_NETWORKS_MAX: usize = 64;
/// Longest fragment taken or sent, in bytes: Windows' and Samba's.
pub const RPC_FRAGMENT_BYTES_MAX: u16 = 5840;
/// The fragment that everybody must take (C706).
pub const RPC_FRAGMENT_BYTES_MIN: u16 = 1432;
/// Longest operands of one call, over all its fragments, in bytes.
pub const RPC_REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Presentation contexts of one connection.
pub const RPC_CONTEXTS_MAX: usize = 64;
/// A peer that has begun a message or a call must have sent all of it by then.
pub const RPC_MIDWAY_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that asks nothing for so long is closed.
pub const RPC_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// A peer that does not take its answer for this long is dropped.
pub const RPC_WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Denials are logged at most this often: strangers must not fill a log.
pub const RPC_DENIALS_LOGGED_EVERY: Duration = Duration::from_secs(1);

/// How long the kernel may take to send INIT once it can.
pub const FUSE_INIT_WAIT: Duration = Duration::from_secs(10);
/// Dead FUSE workers replaced in the life of a connection.
pub const FUSE_WORKERS_REPLACED_MAX: u64 = 1024;
/// Files waiting to be invalidated; beyond it, all files the kernel knows are.
pub const NOTIFIER_FILES_MAX: usize = 64 * 1024;
/// How long an unmounted front waits for a notification stuck in the kernel before it gives up on
/// it.
pub const NOTIFIER_STOP_WAIT: Duration = Duration::from_secs(2);
/// Read buffers a FUSE thread keeps for the next READ.
pub const READ_BUFFERS_KEPT: usize = 4;
/// Open handles of the control files.
pub const CONTROL_FILE_HANDLES_MAX: usize = 1024;
/// Reads of the `events` control file that wait for an event.
pub const CONTROL_FILE_WAITERS_MAX: usize = 256;
/// Longest command written to the `control` control file, in bytes.
pub const CONTROL_FILE_COMMAND_BYTES_MAX: usize = 4096;

const _: () = assert!(
    NOTIFY_GRANT.as_secs() > WRITE_BACK_WAIT.as_secs() + STOP_OVERRUN.as_secs()
        && NOTIFY_GRANT.as_secs() > LOSSES_SETTLE_WAIT.as_secs() + NOTIFIER_STOP_WAIT.as_secs(),
    "a step that only time bounds must be over before the service manager loses patience"
);
const _: () = assert!(NOTIFY_GAP.as_millis() < NOTIFY_NUMBERS_EVERY.as_millis());
const _: () = assert!(FSP_INLINE_MAX > 0 && FSP_INLINE_MAX < FUSE_THREADS);
const _: () = assert!(FSP_WORKERS_MIN <= FSP_WORKERS_MAX);
const _: () = assert!(FSP_WORKERS_MAX < FSP_WORKERS_STUCK_MAX, "stuck workers must be replaceable");
const _: () = assert!(
    FSP_QUEUE_MAX < REQUESTS_IN_FLIGHT_MAX as usize,
    "a full FSP queue must not fill the gate: closes must still pass"
);
const _: () = assert!(LOSSES_KEPT <= UNSENT_ENTRIES_MAX, "what one report names must fit");
const _: () = assert!(UNSENT_ENTRIES_MAX <= LISTED_MAX, "all that is kept must fit in a reply");
const _: () = assert!(
    UNSENT_BYTES_MAX > 2 * FSP_QUEUE_BYTES_MAX as u64,
    "what one stop may give up on must fit"
);
const _: () = assert!(FSP_QUEUE_BYTES_MAX > WRITE_BYTES_MAX as usize, "one write must fit");
const _: () = assert!(
    LISTED_MAX * 4096 * "\\u0001".len() < CONTROL_REPLY_BYTES_MAX,
    "a listing of the longest paths, all of them escaped, must fit in a reply"
);
const _: () = assert!(
    2 * EVENTS_LASTING_KEPT < EVENTS_KEPT,
    "lasting events must leave room: a follower must still see what happens now"
);
const _: () =
    assert!(TICKET_RESULTS_KEPT <= EVENTS_LASTING_KEPT, "a result and its event go together");
const _: () = assert!(SHARES_MAX <= PROVIDERS_MAX, "every share is a provider of the router");
const _: () = assert!(
    CONFIG_FILE_BYTES_MAX > 2 * (SHARES_MAX * NET_NAME_BYTES_MAX) as u64,
    "as many prefixes as there may be, of the greatest length, must fit"
);
const _: () = assert!(RPC_FRAGMENT_BYTES_MIN <= RPC_FRAGMENT_BYTES_MAX);
const _: () = assert!(
    RPC_CALLS_MAX as usize >= RPC_CONNECTIONS_MAX,
    "one endpoint's connections must be able to call at once"
);
const _: () = assert!(CONTROL_FILE_WAITERS_MAX <= CONTROL_FILE_HANDLES_MAX);
const _: () = assert!(DELAYED_BYTES_MAX > WRITE_BYTES_MAX as usize, "one write must fit");
const _: () = assert!(TICKET_RESULTS_KEPT <= CONTROL_QUEUE_MAX);
