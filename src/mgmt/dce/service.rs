//! Carries out the operations of the remote management interface: who asks, may he, do it, answer.
//! No sockets.
//!
//! Every call is authorised before any effect. What is denied is denied by a status in an ordinary
//! answer, as Windows and Samba do it: clients read a fault as a broken server.

use crate::base::clock::Moment;
use crate::base::limits::RPC_DENIALS_LOGGED_EVERY;
use crate::base::stop::StopOptions;
use crate::base::sync::{Mutex, Rank};
use crate::mgmt::authz::{Decision, Denial, Operation, Peer, RpcPolicy};
use crate::mgmt::control::Control;
use crate::mgmt::dce::interface::{Answer, Management, STATISTICS};
use crate::mgmt::dce::ndr::ByteOrder;
use crate::mgmt::dce::syntax::MANAGEMENT;
use crate::mgmt::rpc::machine::Stopping;
use crate::mgmt::rpc::runtime::{Call, RpcServer};
use crate::mgmt::rpc::status::RpcStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Stops the device when the listening is stopped from outside, as its administrator chose
/// (`--rpc-stop=mount`).
pub struct StopsMount {
    /// The host.
    pub control: Arc<dyn Control>,
    /// How it is stopped; the reason is filled in.
    pub options: StopOptions,
}

/// The service behind the endpoints.
pub struct ManagementService {
    rpc: Arc<RpcServer>,
    policy: RpcPolicy,
    stops_mount: Option<StopsMount>,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    denials: Mutex<Denials>,
}

/// Denials as the log is told of them.
#[derive(Debug, Default)]
struct Denials {
    told_at: Option<Moment>,
    untold: u64,
}

impl std::fmt::Debug for ManagementService {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ManagementService").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl ManagementService {
    /// A service that manages `rpc`, obeys `policy`, and stops the mount besides if it is to.
    #[must_use]
    pub fn new(rpc: Arc<RpcServer>, policy: RpcPolicy, stops_mount: Option<StopsMount>) -> Self {
        let (messages_in, messages_out) = (AtomicU64::new(0), AtomicU64::new(0));
        let denials = Mutex::new(Rank::Leaf, Denials::default());
        Self { rpc, policy, stops_mount, messages_in, messages_out, denials }
    }

    /// The runtime.
    #[must_use]
    pub const fn rpc(&self) -> &Arc<RpcServer> {
        &self.rpc
    }

    /// Who may do what.
    #[must_use]
    pub const fn policy(&self) -> &RpcPolicy {
        &self.policy
    }

    /// Counts messages for `inq_stats`.
    pub fn count(&self, read: u64, sent: u64) {
        self.messages_in.fetch_add(read, Ordering::Relaxed);
        self.messages_out.fetch_add(sent, Ordering::Relaxed);
    }

    /// Carries out one operation for `peer`, inside of `call`; the results as bytes.
    ///
    /// # Errors
    /// The status of a fault; nothing was done.
    pub fn call(
        &self,
        call: &Call,
        peer: &Peer,
        operation: u16,
        order: ByteOrder,
        stub: &[u8],
    ) -> Result<Vec<u8>, u32> {
        let asked = Management::read(operation, order, stub)?;
        let answer = match self.policy.authorize(asked.operation(), peer) {
            Decision::Allow => self.carry_out(call, peer, asked),
            Decision::Deny(denial) => {
                self.tell(&denial);
                asked.denied()
            }
        };
        Ok(answer.write())
    }

    /// Logs a denial, and how many were not logged since the last one that was.
    fn tell(&self, denial: &Denial) {
        let now = self.rpc.clock().now();
        let untold = {
            let mut denials = self.denials.lock();
            let due = |at: Moment| now.since(at) >= RPC_DENIALS_LOGGED_EVERY;
            if !denials.told_at.is_none_or(due) {
                denials.untold += 1;
                return;
            }
            denials.told_at = Some(now);
            std::mem::take(&mut denials.untold)
        };
        log::info!("remote management: denied: {denial} (and {untold} times since the last line)");
    }

    fn carry_out(&self, call: &Call, peer: &Peer, asked: Management) -> Answer {
        match asked {
            Management::Interfaces => Answer::Interfaces(vec![MANAGEMENT], RpcStatus::Ok),
            Management::Statistics { count } => {
                let mut numbers = self.statistics().to_vec();
                numbers.truncate(usize::try_from(count).unwrap_or(STATISTICS));
                Answer::Statistics(numbers, RpcStatus::Ok)
            }
            Management::IsListening => Answer::IsListening(self.rpc.is_listening()),
            Management::StopListening => Answer::StopListening(self.stop(call, peer)),
            Management::Principal { size } => {
                Answer::Principal(size, RpcStatus::UnknownAuthenticationService)
            }
        }
    }

    /// Calls in, calls out (this server makes none), messages in, messages out. They wrap, as
    /// everybody's do.
    fn statistics(&self) -> [u32; STATISTICS] {
        let low = |number: u64| number as u32;
        let calls_in = low(self.rpc.counts().begun);
        let messages_in = low(self.messages_in.load(Ordering::Relaxed));
        [calls_in, 0, messages_in, low(self.messages_out.load(Ordering::Relaxed))]
    }

    /// Stops the listening. Who begins the drain stops the mount as well, where that is wanted; who
    /// joins one does not stop it once more.
    ///
    /// A local peer must be one who could stop the mount by itself: the right to stop the listening
    /// is not that one. For a network both are one thing, which `--rpc-allow-stop` allows.
    fn stop(&self, call: &Call, peer: &Peer) -> RpcStatus {
        let stopping = self.rpc.stop_listening(Some(call));
        log::warn!("remote management: {peer:?} asked to stop the listening: {stopping:?}");
        if let (Stopping::Begun, Some(StopsMount { control, options })) =
            (stopping, &self.stops_mount)
        {
            let reason = Some(match peer {
                Peer::Remote(address) => format!("stop_server_listening from {address}"),
                Peer::Local { .. } => {
                    if let Decision::Deny(denial) = self.may_stop_mount(options, peer) {
                        log::warn!("remote management: the mount is not stopped: {denial}");
                        return stopping.status();
                    }
                    "stop_server_listening".to_owned()
                }
            });
            match control.stop(peer.caller(), StopOptions { reason, ..options.clone() }) {
                Ok(answer) => log::info!("remote management: the mount stops: {answer:?}"),
                // The listening has ended all the same, which is what was asked for.
                Err(error) => log::error!("remote management: the mount is not stopped: {error}"),
            }
        }
        stopping.status()
    }

    /// As `minirdr stop` is asked: a stop, and for one that aborts that as well.
    fn may_stop_mount(&self, options: &StopOptions, peer: &Peer) -> Decision {
        match self.policy.authorize(Operation::Stop, peer) {
            Decision::Allow => self.policy.authorize(Operation::of_stop(options), peer),
            denied @ Decision::Deny(_) => denied,
        }
    }
}
