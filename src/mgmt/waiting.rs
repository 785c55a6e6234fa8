//! The calls of the control interface that wait: stop and start with their events, wait, events.
//!
//! Each waits in slices and asks in between whether anybody still listens, so that the thread of a
//! client that went away, or of a server that ends, is free within one slice. It asks before it
//! looks: what happened before the server began to end is always told.

use crate::base::clock::Moment;
use crate::base::ids::{Caller, TicketNumber};
use crate::base::limits::{CONTROL_WAIT_SLICE, EVENTS_KEPT, PAGE_MAX};
use crate::base::status::wire;
use crate::base::stop::{Answer, CallKind, CallResult, Notice, Report, StopOptions};
use crate::mgmt::control::{ControlError, Part, WaitFor};
use crate::mgmt::events::Cursor;
use crate::mgmt::proto::{
    CallReply, Event, EventKind, EventsParameters, EventsReply, Failure, ReplayParameters,
    UnsentDoneReply, WaitParameters, WaitReply,
};
use crate::mgmt::service::{Call, Interest, Service, Trouble};
use std::time::Duration;

/// How long after a ticket's result its last event may still come.
const LAST_EVENT_WAIT: Duration = Duration::from_secs(1);

/// What a `Wait` waits for.
#[derive(Clone, Copy, Debug)]
enum Awaited {
    Ticket(TicketNumber),
    State(WaitFor),
}

impl Service {
    /// `Stop`.
    pub(in crate::mgmt) fn stop(
        &self,
        call: &mut Call<'_>,
        part: &dyn Part,
        options: StopOptions,
    ) -> Result<(), Trouble> {
        let running = part.status().running.filter(|running| running.kind == CallKind::Stop);
        let running = running.map(|running| running.ticket);
        self.begin(call, running, |caller| part.stop(caller, options))
    }

    /// `Start`.
    pub(in crate::mgmt) fn start(
        &self,
        call: &mut Call<'_>,
        part: &dyn Part,
    ) -> Result<(), Trouble> {
        let running = part.status().running.filter(|running| running.kind == CallKind::Start);
        let running = running.map(|running| running.ticket);
        self.begin(call, running, |caller| part.start(caller))
    }

    /// Asks for a call that ends with a report and answers at once, or with `more` to its end.
    /// `running`: a call of the same kind that ran before it.
    pub(in crate::mgmt) fn begin(
        &self,
        call: &mut Call<'_>,
        running: Option<TicketNumber>,
        ask: impl FnOnce(Caller) -> Result<Answer<Report>, ControlError>,
    ) -> Result<(), Trouble> {
        // Before the call: its own events come after.
        let cursor = Cursor::after(self.events.last());
        let ticket = match ask(call.peer.caller())? {
            Answer::Done(report) => return finish(call, report.ticket, (report, None)),
            Answer::Posted(ticket) => ticket,
        };
        let pending = CallReply {
            status: wire::PENDING,
            ticket: Some(ticket),
            running,
            ..CallReply::default()
        };
        if !call.more {
            return call.finish(&pending);
        }
        call.part(&pending)?;
        self.follow(call, (ticket, running), cursor)
    }

    /// Sends the events after `cursor` until the ticket is over, then its report: after the
    /// ticket's own last event, but not waiting long for that.
    fn follow(
        &self,
        call: &mut Call<'_>,
        (ticket, running): (TicketNumber, Option<TicketNumber>),
        mut cursor: Cursor,
    ) -> Result<(), Trouble> {
        let mut over: Option<(Report, Moment)> = None;
        let mut told = false;
        loop {
            let interest = call.interest();
            if over.is_none() {
                let report = self.control.wait_ticket(ticket, Duration::ZERO)?;
                over = report.map(|report| (report, self.clock.now()));
            }
            while let Some(event) = self.events.read(&mut cursor) {
                told |= ends(ticket, &event);
                send_event(call, event)?;
            }
            if let Some((report, since)) = &over {
                let late = self.clock.now().since(*since) >= LAST_EVENT_WAIT;
                if told || late || interest == Interest::Ending {
                    let joined = self.joined(report, running);
                    return finish(call, Some(ticket), (report.clone(), joined));
                }
            }
            still_wanted(interest)?;
            let limit = if over.is_some() { LAST_EVENT_WAIT } else { CONTROL_WAIT_SLICE };
            if told {
                // The event is out and its result about to be: nothing else to wait for.
                let report = self.control.wait_ticket(ticket, CONTROL_WAIT_SLICE)?;
                over = report.map(|report| (report, self.clock.now()));
            } else if let Some(event) = self.events.wait(&mut cursor, limit) {
                told |= ends(ticket, &event);
                send_event(call, event)?;
            }
        }
    }

    /// How the call ended that this one joined; none if it joined none, or nobody knows any more.
    fn joined(&self, report: &Report, running: Option<TicketNumber>) -> Option<Report> {
        let ticket = running.filter(|_| found_it_so(report))?;
        self.control.wait_ticket(ticket, Duration::ZERO).ok().flatten()
    }

    /// `Replay`: ends with its client, as what is not on the server by then is kept.
    pub(in crate::mgmt) fn replay(
        &self,
        call: &mut Call<'_>,
        parameters: ReplayParameters,
    ) -> Result<(), Trouble> {
        let caller = call.peer.caller();
        let mut go_on = || call.interest() == Interest::Waiting;
        let outcomes = self.control.replay(caller, parameters.force, &mut go_on)?;
        call.finish(&UnsentDoneReply { outcomes })
    }

    /// `Wait`: for a ticket, a state, or whatever runs now.
    pub(in crate::mgmt) fn wait(
        &self,
        call: &mut Call<'_>,
        parameters: &WaitParameters,
    ) -> Result<(), Trouble> {
        let part = self.part(parameters.provider.as_deref())?;
        let awaited = awaited(&*part, parameters)?;
        // A ticket says itself whose it is.
        let (provider, deed) = match awaited {
            Awaited::Ticket(ticket) => {
                (self.control.provider_of(ticket), self.control.deed_of(ticket))
            }
            Awaited::State(_) => (parameters.provider.clone(), None),
        };
        let its = provider.as_deref().and_then(|name| self.control.provider(name).ok());
        let part = its.as_deref().unwrap_or(&*part);
        let limit = match parameters.timeout_s.map(Duration::try_from_secs_f64) {
            Some(Ok(limit)) => Some(limit),
            Some(Err(_)) => return Err(Trouble::parameter("timeout_s")),
            None => None,
        };
        let began = self.clock.now();
        loop {
            let left = limit.map(|limit| limit.saturating_sub(self.clock.now().since(began)));
            let slice = left.map_or(CONTROL_WAIT_SLICE, |left| left.min(CONTROL_WAIT_SLICE));
            let interest = call.interest();
            let ended = self.wait_slice(part, awaited, slice)?;
            if ended.is_some() || left.is_some_and(|left| left <= slice) {
                let (timed_out, status) = (ended.is_none(), part.status());
                let report = ended.flatten();
                // A change of providers has told already how the stop ended that it joined.
                let stopped = report.as_ref().filter(|_| deed.is_none());
                let stopped = stopped.filter(|report| report.kind == CallKind::Stop);
                let joined = stopped.filter(|report| found_it_so(report)).and(status.last_stop);
                let reply = WaitReply {
                    provider,
                    deed,
                    timed_out,
                    state: status.state,
                    report: call.disclosure.apply(report),
                    joined: call.disclosure.apply(joined),
                };
                return call.finish(&reply);
            }
            still_wanted(interest)?;
        }
    }

    /// Waits up to `slice`; `Some` when it has happened, with the report if there is one.
    fn wait_slice(
        &self,
        part: &dyn Part,
        awaited: Awaited,
        slice: Duration,
    ) -> Result<Option<Option<Report>>, Trouble> {
        match awaited {
            Awaited::Ticket(ticket) => Ok(self.control.wait_ticket(ticket, slice)?.map(Some)),
            Awaited::State(state) if part.wait_state(state, slice) => {
                let status = part.status();
                Ok(Some(match state {
                    WaitFor::Stopped => status.last_stop,
                    WaitFor::Running => status.last_start,
                }))
            }
            Awaited::State(_) => Ok(None),
        }
    }

    /// `Events`: what is kept, and with `more` what comes.
    pub(in crate::mgmt) fn events(
        &self,
        call: &mut Call<'_>,
        parameters: &EventsParameters,
    ) -> Result<(), Trouble> {
        let most = match parameters.max.map(usize::try_from) {
            None | Some(Err(_)) => EVENTS_KEPT,
            Some(Ok(0)) => return Err(Trouble::parameter("max")),
            Some(Ok(max)) => max.min(EVENTS_KEPT),
        };
        // A device there is not would look like peace.
        if parameters.device.as_ref().is_some_and(|name| !self.control.devices().contains(name)) {
            return Err(Trouble::parameter("device"));
        }
        // What is gone may have been of this device: it is told to every reader.
        let wanted = |event: &Event| {
            let overflow = matches!(event.what, EventKind::Overflow { .. });
            overflow || parameters.device.as_ref().is_none_or(|device| *device == event.device)
        };
        let mut cursor = match parameters.since {
            // A number from before the daemon was started again: silence would look like peace.
            Some(since) if since > self.events.last() => return Err(Trouble::parameter("since")),
            Some(since) => Cursor::after(since),
            None => Cursor::oldest(),
        };
        if !call.more {
            let kept = std::iter::from_fn(|| self.events.read(&mut cursor));
            let events: Vec<Event> = kept.filter(wanted).take(most).collect();
            return call.finish(&EventsReply::new(call.disclosure.apply(events), cursor.place()));
        }
        let page = most.min(PAGE_MAX);
        loop {
            let interest = call.interest();
            let first = self.events.wait(&mut cursor, CONTROL_WAIT_SLICE);
            let rest = std::iter::from_fn(|| self.events.read(&mut cursor)).take(page - 1);
            let mut events: Vec<Event> = first.into_iter().chain(rest).collect();
            let full = events.len() == page;
            events.retain(wanted);
            let reply = EventsReply::new(call.disclosure.apply(events), cursor.place());
            match interest {
                Interest::Gone => return Err(Trouble::Gone),
                Interest::Ending if !full => return call.finish(&reply),
                Interest::Waiting if reply.events.is_empty() => {}
                Interest::Waiting | Interest::Ending => call.part(&reply)?,
            }
        }
    }
}

/// What a `Wait` is to wait for.
fn awaited(part: &dyn Part, parameters: &WaitParameters) -> Result<Awaited, Trouble> {
    match (parameters.ticket, parameters.wait_for.as_deref()) {
        (Some(ticket), None) => Ok(Awaited::Ticket(ticket)),
        (None, Some("running")) => Ok(Awaited::State(WaitFor::Running)),
        (None, Some("stopped")) => Ok(Awaited::State(WaitFor::Stopped)),
        (None, None) => {
            let running = part.status().running;
            Ok(running.map_or(Awaited::State(WaitFor::Stopped), |running| {
                Awaited::Ticket(running.ticket)
            }))
        }
        (_, Some(_)) => Err(Trouble::parameter("for")),
    }
}

/// Ends a wait that nobody is interested in any more.
fn still_wanted(interest: Interest) -> Result<(), Trouble> {
    match interest {
        Interest::Waiting => Ok(()),
        Interest::Gone => Err(Trouble::Gone),
        Interest::Ending => {
            Err(Failure::Refused("the daemon ended before this did".to_owned()).into())
        }
    }
}

/// Did the call find nothing left to do? Then another one's end tells what happened.
fn found_it_so(report: &Report) -> bool {
    matches!(report.result, CallResult::AlreadyStopped | CallResult::AlreadyStarted)
}

/// Is this the ticket's last event?
fn ends(ticket: TicketNumber, event: &Event) -> bool {
    match &event.what {
        EventKind::Notice(
            Notice::Stopped { ticket: other, .. } | Notice::Started { ticket: other, .. },
        ) => *other == Some(ticket),
        EventKind::Notice(
            Notice::ProviderAdded { ticket: other, .. }
            | Notice::ProviderRemoved { ticket: other, .. }
            | Notice::ProviderReplaced { ticket: other, .. },
        ) => *other == ticket,
        EventKind::Notice(_) | EventKind::Overflow { .. } => false,
    }
}

fn send_event(call: &mut Call<'_>, event: Event) -> Result<(), Trouble> {
    let event = Some(call.disclosure.apply(event));
    call.part(&CallReply { status: wire::PENDING, event, ..CallReply::default() })
}

fn finish(
    call: &mut Call<'_>,
    ticket: Option<TicketNumber>,
    (report, joined): (Report, Option<Report>),
) -> Result<(), Trouble> {
    let reply = CallReply {
        status: report.result.code(),
        ticket,
        report: Some(call.disclosure.apply(report)),
        joined: call.disclosure.apply(joined),
        ..CallReply::default()
    };
    call.finish(&reply)
}
