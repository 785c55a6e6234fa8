//! The terms of a stop: what its caller chose, and how a later call tightens them.

use crate::base::clock::Moment;
use crate::base::stop::{OnDeadline, StopOptions};

/// A caller's options, with their times on the clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// As chosen, and tightened by later calls.
    pub options: StopOptions,
    /// When steps 1 to 5 must be over; none: no bound.
    pub deadline: Option<Moment>,
    /// Until when open handles keep working; none: there is no grace.
    pub grace_until: Option<Moment>,
}

impl Terms {
    /// The terms of a call made at `asked_at`.
    #[must_use]
    pub fn of(options: StopOptions, asked_at: Moment) -> Self {
        let deadline = options.deadline().map(|limit| asked_at.after(limit));
        let grace_until = options.grace().map(|grace| asked_at.after(grace));
        Self { options, deadline, grace_until }
    }

    /// What is left of them at `now`, for a call that is made on behalf of this one.
    #[must_use]
    pub fn left(&self, now: Moment) -> StopOptions {
        let left = |until: Moment| until.since(now).as_secs_f64();
        StopOptions {
            deadline_s: self.deadline.map(left),
            grace_s: self.grace_until.map(left).filter(|left| *left > 0.0),
            refuse_if_busy: false,
            ..self.options.clone()
        }
    }

    /// [`Terms::tighten`] by a call that may be outranked by this one: then it does not make the
    /// deadline earlier at which this stop would be taken back. Nobody but root takes a stop of
    /// root's back, by whatever way.
    pub fn tighten_for(&mut self, later: &Self, outranks: bool) -> bool {
        let before = self.clone();
        self.tighten(later);
        if outranks && self.options.on_deadline == OnDeadline::Resume {
            self.deadline = before.deadline;
            self.options.deadline_s = before.options.deadline_s;
        }
        before != *self
    }

    /// A later, stricter call: the earlier deadline, the shorter grace, the harder mode, the
    /// sterner outcome. Nothing is ever loosened (stop.md §3). True if anything changed.
    pub fn tighten(&mut self, later: &Self) -> bool {
        let before = self.clone();
        let (ours, theirs) = (&mut self.options, &later.options);
        ours.mode = ours.mode.max(theirs.mode);
        if let Some(deadline) = later.deadline {
            if self.deadline.is_none_or(|ours| deadline < ours) {
                self.deadline = later.deadline;
                ours.deadline_s = theirs.deadline_s;
            }
            if sternness(theirs.on_deadline) > sternness(ours.on_deadline) {
                ours.on_deadline = theirs.on_deadline;
            }
        }
        let shorter = match (self.grace_until, later.grace_until) {
            (Some(ours), Some(theirs)) => theirs < ours,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if shorter {
            self.grace_until = later.grace_until;
            ours.grace_s = theirs.grace_s;
        }
        ours.unmount |= theirs.unmount;
        ours.lazy |= theirs.lazy;
        before != *self
    }
}

const fn sternness(policy: OnDeadline) -> u8 {
    match policy {
        OnDeadline::Resume => 0,
        OnDeadline::Stay => 1,
        OnDeadline::Cancel => 2,
        OnDeadline::Abort => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::stop::StopMode;
    use proptest::prelude::*;

    fn any_terms() -> impl Strategy<Value = Terms> {
        let mode =
            prop_oneof![Just(StopMode::Drain), Just(StopMode::Cancel), Just(StopMode::Abort)];
        let policy = prop_oneof![
            Just(OnDeadline::Resume),
            Just(OnDeadline::Stay),
            Just(OnDeadline::Cancel),
            Just(OnDeadline::Abort)
        ];
        let seconds = || proptest::option::of((0_u8..100).prop_map(f64::from));
        (mode, policy, seconds(), seconds(), any::<bool>(), 0_u64..1_000_000_000).prop_map(
            |(mode, on_deadline, deadline_s, grace_s, unmount, asked_at)| {
                let options = StopOptions {
                    mode,
                    on_deadline,
                    deadline_s,
                    grace_s,
                    unmount,
                    ..StopOptions::default()
                };
                Terms::of(options, Moment(asked_at))
            },
        )
    }

    /// None is the longest.
    fn end(moment: Option<Moment>) -> u64 {
        moment.map_or(u64::MAX, |moment| moment.0)
    }

    /// None is the shortest.
    fn grace(moment: Option<Moment>) -> u64 {
        moment.map_or(0, |moment| moment.0)
    }

    /// A call on behalf of another has no more time than that has.
    #[test]
    fn what_is_left_shrinks_with_the_clock() {
        let second = 1_000_000_000;
        let options = StopOptions {
            deadline_s: Some(10.0),
            grace_s: Some(3.0),
            refuse_if_busy: true,
            ..StopOptions::default()
        };
        let terms = Terms::of(options.clone(), Moment(0));
        let left = terms.left(Moment(2 * second));
        assert_eq!((left.deadline_s, left.grace_s), (Some(8.0), Some(1.0)));
        assert!(!left.refuse_if_busy, "that was decided by the call it is for");
        let left = terms.left(Moment(60 * second));
        assert_eq!((left.deadline_s, left.grace_s), (Some(0.0), None));
        let unbounded = Terms::of(StopOptions::default(), Moment(0)).left(Moment(second));
        assert_eq!((unbounded.deadline_s, unbounded.grace_s), (None, None));
    }

    proptest! {
        /// Stop.md §3: a later call tightens and never loosens; the same call again changes
        /// nothing.
        #[test]
        fn a_later_call_never_loosens(ours in any_terms(), later in any_terms()) {
            let mut terms = ours.clone();
            let changed = terms.tighten(&later);
            prop_assert_eq!(changed, terms != ours);
            prop_assert_eq!(end(terms.deadline), end(ours.deadline).min(end(later.deadline)));
            let graces = (grace(ours.grace_until), grace(later.grace_until));
            prop_assert_eq!(grace(terms.grace_until), graces.0.min(graces.1));
            prop_assert_eq!(terms.options.mode, ours.options.mode.max(later.options.mode));
            let policies = (ours.options.on_deadline, terms.options.on_deadline);
            prop_assert!(sternness(policies.1) >= sternness(policies.0));
            prop_assert!(!terms.tighten(&later));
        }
    }
}
