//! How one prefix changes hands: pure data, one step at a time.
//!
//! ```text
//!              Begun, agent                                Disabled
//!   Enabled ----------------> Disabling  [Effect::Disable] --------+
//!    ^  ^ |                                                        |
//!    |  | |    Begun, no agent                                     v
//!    |  | +----------------------------------------> Changing  [Effect::Change]
//!    |  |                                                |
//!    |  |  Sent, no agent                    Changed     v
//!    |  +------------------------- Sending  [Effect::AwaitSent]
//!    |                                |
//!    |         Enabled    Sent, agent v
//!    +--------------------------- Enabling  [Effect::Enable]
//!
//!   Enabled -- WatchBegun --> Watching  [Effect::CallUpstream] -- WatchEnded --> Enabled
//! ```
//!
//! *Change* is one effect of three parts that nobody may see apart from outside: the owner changes,
//! every route of the prefix is purged, and the invalidations of the kernel's caches are queued.
//! In every phase but Enabled and Watching the agent is disabled: what it asks of this prefix is
//! refused with 1003. A prefix that is not known is Enabled, and owned by nobody.

/// Where a prefix is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// At rest.
    #[default]
    Enabled,
    /// Its owner is told to start or stop watching a path.
    Watching,
    /// The agent is told to let go.
    Disabling,
    /// The owner changes, routes are purged, invalidations are queued.
    Changing,
    /// The notifier sends the invalidations.
    Sending,
    /// The agent is told to come back.
    Enabling,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A hand-over was asked for and is legal.
    Begun,
    /// The agent has let go.
    Disabled,
    /// The change has been made.
    Changed,
    /// The invalidations have been sent, or are given up on.
    Sent,
    /// The agent is back.
    Enabled,
    /// The first watch of a path was added, or the last one deleted.
    WatchBegun,
    /// The owner knows.
    WatchEnded,
}

/// What the driver does next, with no lock held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell the agent to let go.
    Disable,
    /// Change the owner, purge the routes, queue the invalidations.
    Change,
    /// Wait until they have been sent.
    AwaitSent,
    /// Tell the agent to come back.
    Enable,
    /// Tell the owner to start or stop watching.
    CallUpstream,
    /// Nothing: wake whoever waits for the prefix.
    Rest,
}

/// The driver broke the order; a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} while {phase:?}")]
pub struct OutOfOrder {
    /// Where the prefix was.
    pub phase: Phase,
    /// What came.
    pub event: Event,
}

impl Phase {
    /// Has the agent to keep its hands off?
    #[must_use]
    pub fn is_disabled(self) -> bool {
        match self {
            Self::Enabled | Self::Watching => false,
            Self::Disabling | Self::Changing | Self::Sending | Self::Enabling => true,
        }
    }
}

/// The machine. `agent`: is there one?
///
/// # Errors
/// [`OutOfOrder`]: this cannot happen in this phase.
pub fn step(phase: Phase, event: Event, agent: bool) -> Result<(Phase, Effect), OutOfOrder> {
    let next = match (phase, event) {
        (Phase::Enabled, Event::Begun) if agent => (Phase::Disabling, Effect::Disable),
        (Phase::Enabled, Event::Begun) | (Phase::Disabling, Event::Disabled) => {
            (Phase::Changing, Effect::Change)
        }
        (Phase::Changing, Event::Changed) => (Phase::Sending, Effect::AwaitSent),
        (Phase::Sending, Event::Sent) if agent => (Phase::Enabling, Effect::Enable),
        (Phase::Sending, Event::Sent)
        | (Phase::Enabling, Event::Enabled)
        | (Phase::Watching, Event::WatchEnded) => (Phase::Enabled, Effect::Rest),
        (Phase::Enabled, Event::WatchBegun) => (Phase::Watching, Effect::CallUpstream),
        (Phase::Enabled, Event::Disabled | Event::Changed | Event::Sent)
        | (Phase::Enabled, Event::Enabled | Event::WatchEnded)
        | (Phase::Watching, Event::Begun | Event::Disabled | Event::Changed)
        | (Phase::Watching, Event::Sent | Event::Enabled | Event::WatchBegun)
        | (Phase::Disabling, Event::Begun | Event::Changed | Event::Sent)
        | (Phase::Disabling, Event::Enabled | Event::WatchBegun | Event::WatchEnded)
        | (Phase::Changing, Event::Begun | Event::Disabled | Event::Sent)
        | (Phase::Changing, Event::Enabled | Event::WatchBegun | Event::WatchEnded)
        | (Phase::Sending, Event::Begun | Event::Disabled | Event::Changed)
        | (Phase::Sending, Event::Enabled | Event::WatchBegun | Event::WatchEnded)
        | (Phase::Enabling, Event::Begun | Event::Disabled | Event::Changed)
        | (Phase::Enabling, Event::Sent | Event::WatchBegun | Event::WatchEnded) => {
            return Err(OutOfOrder { phase, event });
        }
    };
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 6] = [
        Phase::Enabled,
        Phase::Watching,
        Phase::Disabling,
        Phase::Changing,
        Phase::Sending,
        Phase::Enabling,
    ];
    const EVENTS: [Event; 7] = [
        Event::Begun,
        Event::Disabled,
        Event::Changed,
        Event::Sent,
        Event::Enabled,
        Event::WatchBegun,
        Event::WatchEnded,
    ];

    /// What a driver does that obeys: each effect ends in its event.
    fn effects(agent: bool, begun: Event) -> Vec<Effect> {
        let (mut phase, mut effect) = step(Phase::Enabled, begun, agent).expect("at rest");
        let mut effects = vec![effect];
        while effect != Effect::Rest {
            let event = match effect {
                Effect::Disable => Event::Disabled,
                Effect::Change => Event::Changed,
                Effect::AwaitSent => Event::Sent,
                Effect::Enable => Event::Enabled,
                Effect::CallUpstream => Event::WatchEnded,
                Effect::Rest => unreachable!("the loop ends"),
            };
            (phase, effect) = step(phase, event, agent).expect("in order");
            effects.push(effect);
        }
        assert_eq!(phase, Phase::Enabled);
        effects
    }

    /// namespace.md, invariant 2, for one prefix: disable, change, wait, enable; and without an
    /// agent none of its callbacks.
    #[test]
    fn the_order_of_a_hand_over() {
        let whole =
            [Effect::Disable, Effect::Change, Effect::AwaitSent, Effect::Enable, Effect::Rest];
        assert_eq!(effects(true, Event::Begun), whole);
        assert_eq!(effects(false, Event::Begun), [Effect::Change, Effect::AwaitSent, Effect::Rest]);
        for agent in [true, false] {
            assert_eq!(effects(agent, Event::WatchBegun), [Effect::CallUpstream, Effect::Rest]);
        }
    }

    /// Nothing begins before what runs is at rest again, and each phase takes one event.
    #[test]
    fn everything_else_is_out_of_order() {
        for agent in [true, false] {
            for phase in PHASES {
                let taken: Vec<Event> = EVENTS
                    .into_iter()
                    .filter(|event| match step(phase, *event, agent) {
                        Ok(_) => true,
                        Err(refused) => {
                            assert_eq!(refused, OutOfOrder { phase, event: *event });
                            false
                        }
                    })
                    .collect();
                let expected: &[Event] = match phase {
                    Phase::Enabled => &[Event::Begun, Event::WatchBegun],
                    Phase::Watching => &[Event::WatchEnded],
                    Phase::Disabling => &[Event::Disabled],
                    Phase::Changing => &[Event::Changed],
                    Phase::Sending => &[Event::Sent],
                    Phase::Enabling => &[Event::Enabled],
                };
                assert_eq!(taken, expected, "{phase:?}");
            }
        }
    }
}
