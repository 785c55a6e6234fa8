//! What a device tells of itself: status, handles, requests, the check, and waiting. Nothing here
//! changes anything or touches the mount.

use crate::base::clock::Moment;
use crate::base::ids::{Generation, HandleNumber, NodeNumber, TicketNumber};
use crate::base::limits::LISTED_MAX;
use crate::base::name::Name;
use crate::base::stop::{Answer, CallResult, Check, HandleInfo, Report, RequestInfo, State};
use crate::base::sync::atomic::Ordering;
use crate::mrx::request::Access;
use crate::mrx::upcall::RequestContext;
use crate::rdbss::context::{Context, Subject};
use crate::rdbss::device::Device;
use crate::rdbss::fsp::FspView;
use crate::rdbss::objects::fobx::Fobx;
use crate::rdbss::operation::Node;
use crate::rdbss::startstop::Running;
use crate::rdbss::stop_run::LOOK_EVERY;
use crate::rdbss::ticket::TicketState;
use std::sync::Arc;
use std::time::Duration;

/// A device at one moment.
#[derive(Clone, Debug)]
pub struct DeviceStatus {
    /// Its state.
    pub state: State,
    /// Since when.
    pub state_since: Moment,
    /// Successful starts.
    pub generation: Generation,
    /// Starts and stops that wait for the control thread.
    pub calls_waiting: u64,
    /// Counted requests inside, closes included.
    pub requests_in_flight: u64,
    /// Open handles of all generations, without those that were detached.
    pub open_handles: u64,
    /// Of these, orphans of an earlier generation.
    pub survivors: u64,
    /// Bytes not on the server yet.
    pub unsent_bytes: u64,
    /// Requests refused by the gate.
    pub refused_total: u64,
    /// Requests answered.
    pub answered_total: u64,
    /// Results that came too late.
    pub late_total: u64,
    /// Losses named by a stop whose data reached the server after all.
    pub arrived_total: u64,
    /// Contexts dropped unanswered: a defect of ours.
    pub unanswered_total: u64,
    /// Panics caught in callouts, of all devices of this process: a mini-redirector's defect.
    pub panics_total: u64,
    /// The start or stop that runs.
    pub running: Option<Running>,
    /// The last stop that did something.
    pub last_stop: Option<Report>,
    /// The last start that did something.
    pub last_start: Option<Report>,
    /// The file system process.
    pub fsp: FspView,
    /// Files known.
    pub files_known: u64,
}

/// What one look shows, without the reports of the past.
#[derive(Clone, Debug)]
pub struct Glance {
    /// Its state.
    pub state: State,
    /// Counted requests inside, closes included.
    pub requests_in_flight: u64,
    /// Open handles of all generations, without those that were detached.
    pub open_handles: u64,
    /// Bytes not on the server yet.
    pub unsent_bytes: u64,
    /// The start or stop that runs.
    pub running: Option<Running>,
}

impl Device {
    /// How it stands, with those that depend on it: cheap enough to be asked every second for as
    /// long as it lives.
    #[must_use]
    pub fn glance(&self) -> Glance {
        let (state, running) = {
            let inner = self.control.lock();
            (inner.state, inner.running.clone())
        };
        let load = self.load_of_all();
        Glance {
            state,
            requests_in_flight: load.requests,
            open_handles: load.handles,
            unsent_bytes: load.unsent_bytes,
            running,
        }
    }

    /// Everything about it now.
    #[must_use]
    pub fn status(&self) -> DeviceStatus {
        let fsp = self.fsp.lock().clone();
        let fsp = fsp.view();
        let (state, state_since, calls_waiting, running, last_stop, last_start) = {
            let inner = self.control.lock();
            (
                inner.state,
                inner.state_since,
                inner.queue.len() as u64,
                inner.running.clone(),
                inner.last_stop.clone(),
                inner.last_start.clone(),
            )
        };
        let view = self.gate.view();
        DeviceStatus {
            state,
            state_since,
            calls_waiting,
            generation: view.generation,
            requests_in_flight: u64::from(view.normals) + u64::from(view.closes),
            open_handles: self.open_handles(),
            survivors: self.survivors.load(Ordering::Relaxed).max(0).cast_unsigned(),
            unsent_bytes: self.unsent_bytes(),
            refused_total: self.refusals.total(),
            answered_total: self.counts.answered(),
            late_total: self.counts.late.load(Ordering::Relaxed),
            arrived_total: self.counts.arrived.load(Ordering::Relaxed),
            unanswered_total: self.counts.unanswered.load(Ordering::Relaxed),
            panics_total: crate::rdbss::calldown::panics(),
            running,
            last_stop,
            last_start,
            fsp,
            files_known: self.fcbs.len() as u64,
        }
    }

    /// Does nobody know anything of it any more: no handle is open, and the kernel knows no file of
    /// it? Then nothing can come for it, if nothing new is let to it. A moment late.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        let root = self.root.get();
        let root_known = root.is_some_and(|root| Arc::strong_count(root) > 1);
        let others = self.fcbs.len().saturating_sub(usize::from(root.is_some()));
        self.handles.is_empty() && others == 0 && !root_known && self.gate.view().closes == 0
    }

    /// Names the kernel may know of files that nobody has open, each with its directory: at most
    /// so many.
    #[must_use]
    pub fn idle_names(&self, max: usize) -> Vec<(NodeNumber, Name)> {
        let idle = self.fcbs.snapshot().into_iter().filter(|fcb| fcb.opens() == 0);
        let name = |fcb: Node| fcb.parent().map(|(parent, name)| (parent.number(), name));
        idle.filter_map(name).take(max).collect()
    }

    /// The state alone: one load.
    #[must_use]
    pub fn state(&self) -> State {
        self.gate.view().state
    }

    /// Bytes not on the server yet, of all handles.
    pub(in crate::rdbss) fn unsent_bytes(&self) -> u64 {
        self.counts.unsent_bytes.load(Ordering::Relaxed)
    }

    /// Hands each open handle to `visit` until it answers false. Nothing is locked meanwhile.
    pub fn visit_handles(&self, mut visit: impl FnMut(HandleInfo) -> bool) {
        let now = self.clock.now();
        self.handles.visit(|number, fobx| visit(handle_info(number, &fobx, now)));
    }

    /// Open handles of all generations, without those that were detached.
    pub(in crate::rdbss) fn open_handles(&self) -> u64 {
        self.handles.in_use() as u64
    }

    /// At most `most` handles that are not detached, and how many of those there are.
    pub(in crate::rdbss) fn handle_list(&self, most: usize) -> (Vec<HandleInfo>, u64) {
        let mut list = Vec::new();
        self.visit_handles(|handle| {
            if !handle.detached {
                list.push(handle);
            }
            list.len() < most
        });
        // One list that is whole is its own total: nothing came or went in between.
        let total = if list.len() < most { list.len() as u64 } else { self.open_handles() };
        (list, total)
    }

    /// The same of this device and those that depend on it.
    pub(in crate::rdbss) fn handle_list_of_all(&self, most: usize) -> (Vec<HandleInfo>, u64) {
        let (mut list, mut total) = self.handle_list(most);
        if let Some(dependents) = &self.dependents {
            let (theirs, how_many) = dependents.survivors(most.saturating_sub(list.len()));
            list.extend(theirs);
            total += how_many;
        }
        (list, total)
    }

    /// Requests whose callouts have not returned, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestInfo> {
        self.request_list(usize::MAX).0
    }

    /// The first `most` of them, and how many there are.
    fn request_list(&self, most: usize) -> (Vec<RequestInfo>, u64) {
        let now = self.clock.now();
        let all = self.requests.snapshot();
        let list = all.iter().take(most).map(|context| self.request_info(context, now)).collect();
        (list, all.len() as u64)
    }

    /// The path of what a request is about; empty when it is not known any more.
    pub(in crate::rdbss) fn path_of(&self, context: &Context) -> Vec<u8> {
        match context.subject() {
            Subject::Node(node) => node.path(),
            Subject::Handle(number) => {
                let (held, _) = context.held();
                let fobx = held.or_else(|| self.handles.get(*number));
                fobx.map(|fobx| fobx.srv_open().fcb.path()).unwrap_or_default()
            }
            Subject::Volume => Vec::new(),
        }
    }

    fn request_info(&self, context: &Context, now: Moment) -> RequestInfo {
        RequestInfo {
            serial: context.serial(),
            operation: context.operation().to_owned(),
            path: self.path_of(context),
            age_s: now.since(context.arrived()).as_secs_f64(),
            caller: context.caller(),
            cancellable: context.is_cancellable(),
            cancelled: context.is_cancelled(),
        }
    }

    /// `stop --check`: what a stop would meet. Nothing changes (C5).
    #[must_use]
    pub fn check(&self) -> Check {
        let (state, ticket) = {
            let inner = self.control.lock();
            (inner.state, inner.running.as_ref().map(|running| running.ticket))
        };
        let (handles, handles_total) = self.handle_list(LISTED_MAX);
        let opening = u64::from(self.gate.opening());
        let result = match state {
            State::Startable => CallResult::AlreadyStopped,
            State::StartInProgress
            | State::Started
            | State::Paused
            | State::Draining
            | State::Sealing => {
                if handles_total == 0 && opening == 0 {
                    CallResult::Success
                } else {
                    CallResult::HasOpenHandles
                }
            }
        };
        let (requests, requests_total) = self.request_list(LISTED_MAX);
        Check { state, result, ticket, handles, handles_total, opening, requests, requests_total }
    }

    /// Waits up to `limit` for a ticket's end.
    #[must_use]
    pub fn wait_ticket(&self, ticket: TicketNumber, limit: Duration) -> TicketState {
        self.tickets.wait(ticket, limit)
    }

    /// The report of a call, once it has ended.
    ///
    /// # Errors
    /// The ticket, if its result is not kept any more.
    pub fn wait_report(&self, called: Answer<Report>) -> Result<Report, TicketNumber> {
        let ticket = match called {
            Answer::Done(report) => return Ok(report),
            Answer::Posted(ticket) => ticket,
        };
        loop {
            match self.wait_ticket(ticket, LOOK_EVERY) {
                TicketState::Open => {}
                TicketState::Ended(report) => return Ok(*report),
                TicketState::Unknown => return Err(ticket),
            }
        }
    }

    /// Waits up to `limit` until `wanted` holds of the state with no call open; false if the time
    /// ran out.
    pub fn wait_state(&self, wanted: impl Fn(State) -> bool, limit: Duration) -> bool {
        let until = self.clock.now().after(limit);
        let mut inner = self.control.lock();
        loop {
            // Not before the results are there for whoever waits for them instead.
            if wanted(inner.state) && inner.quiet() && self.tickets.open() == 0 {
                return true;
            }
            let left = until.since(self.clock.now());
            if left.is_zero() {
                return false;
            }
            self.control.wait_change(&mut inner, left);
        }
    }
}

pub(in crate::rdbss) fn handle_info(number: HandleNumber, fobx: &Fobx, now: Moment) -> HandleInfo {
    let srv_open = fobx.srv_open();
    let mode = match srv_open.options.access {
        Access::Read => "r",
        Access::Write => "w",
        Access::ReadWrite => "rw",
    };
    HandleInfo {
        handle: number,
        path: srv_open.fcb.path(),
        kind: if srv_open.directory { "directory" } else { "handle" }.to_owned(),
        mode: mode.to_owned(),
        opened_by: fobx.opened_by,
        generation: srv_open.generation(),
        age_s: now.since(fobx.opened_at).as_secs_f64(),
        unsent_bytes: fobx.unsent_bytes(),
        flushed: fobx.is_flushed(),
        survivor: fobx.is_survivor(),
        detached: fobx.is_detached(),
    }
}
