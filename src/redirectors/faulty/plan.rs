//! Which faults happen when: pure data, decided from a seed.
//!
//! A decision depends on the seed, the callout, the rule and how many calls of that callout there
//! were before; not on time, and not on what other callouts did meanwhile. So the same calls meet
//! the same faults again, whatever the threads do.

use super::callout::Callout;
use crate::base::status::{Errno, Status};
use crate::redirectors::options::{OptionError, parse_switch};
use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends no earlier than this after it began. Cannot be cancelled.
    Delay(Duration),
    /// It hangs until its caller cancels it or the test releases it.
    Hang,
    /// It hangs until the test releases it.
    HangUncancellable,
    /// It fails, and the server never hears of it.
    Error(Status),
    /// It panics, and the server never hears of it.
    Panic,
}

/// One fault, where and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// On which callout; none: on every one.
    pub callout: Option<Callout>,
    /// What goes wrong.
    pub fault: Fault,
    /// Low I/O only: a delay or hang keeps the caller's thread instead of pending.
    pub synchronous: bool,
    /// How likely each time, 0.0 to 1.0.
    pub probability: f64,
    /// Only at this call of the callout, counted from 1 since the plan was set.
    pub nth: Option<u64>,
}

impl Rule {
    /// A fault that happens always.
    #[must_use]
    pub fn always(callout: Option<Callout>, fault: Fault) -> Self {
        Self { callout, fault, synchronous: false, probability: 1.0, nth: None }
    }
}

/// All faults of one instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultPlan {
    /// Decides what is decided by chance.
    pub seed: u64,
    /// The callouts count as blocking although nothing here delays or hangs yet: for plans that are
    /// changed later.
    pub blocking: bool,
    /// Met in this order; an error or panic ends them.
    pub rules: Vec<Rule>,
}

/// What one call meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) synchronous: bool,
    pub(super) delay: Duration,
    pub(super) hang: Option<Hang>,
    pub(super) end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hang {
    Cancellable,
    Uncancellable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Error(Status),
    Panic,
}

impl FaultPlan {
    /// Nothing goes wrong.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The same plan with a fault that happens always.
    #[must_use]
    pub fn with(mut self, callout: Callout, fault: Fault) -> Self {
        self.rules.push(Rule::always(Some(callout), fault));
        self
    }

    /// Can a callout take long?
    #[must_use]
    pub fn may_block(&self) -> bool {
        let blocks = |rule: &Rule| {
            matches!(rule.fault, Fault::Delay(_) | Fault::Hang | Fault::HangUncancellable)
        };
        self.blocking || self.rules.iter().any(blocks)
    }

    /// Reads one option into the plan. False if the key is not one of ours.
    pub(super) fn read(&mut self, key: &str, value: &str) -> Result<bool, OptionError> {
        let callout = match key {
            "seed" => {
                let wanted = |_| OptionError::invalid(key, value, "a number");
                self.seed = value.parse().map_err(wanted)?;
                return Ok(true);
            }
            "blocking" => {
                self.blocking = parse_switch(key, value)?;
                return Ok(true);
            }
            "all" => None,
            name => match Callout::from_name(name) {
                Some(callout) => Some(callout),
                None => return Ok(false),
            },
        };
        let rule =
            parse_rule(callout, value).map_err(|why| OptionError::invalid(key, value, why))?;
        self.rules.push(rule);
        Ok(true)
    }

    /// What the `nth` call of a callout meets.
    pub(super) fn decide(&self, callout: Callout, nth: u64) -> Script {
        let mut script = Script::default();
        for (index, rule) in self.rules.iter().enumerate() {
            let meant = rule.callout.is_none_or(|only| only == callout);
            let due = rule.nth.is_none_or(|only| only == nth);
            if !meant || !due || !self.happens(rule, callout, index, nth) {
                continue;
            }
            match rule.fault {
                Fault::Delay(delay) => script.delay = script.delay.saturating_add(delay),
                Fault::Hang => script.hang = script.hang.or(Some(Hang::Cancellable)),
                Fault::HangUncancellable => script.hang = Some(Hang::Uncancellable),
                Fault::Error(status) if callout.can_fail() => script.end = Some(End::Error(status)),
                Fault::Error(_) => {}
                Fault::Panic => script.end = Some(End::Panic),
            }
            script.synchronous |= rule.synchronous;
            if script.end.is_some() {
                break;
            }
        }
        script
    }

    fn happens(&self, rule: &Rule, callout: Callout, index: usize, nth: u64) -> bool {
        if rule.probability >= 1.0 {
            return true;
        }
        // A generator of its own for each decision, so that no other call moves it on.
        let mut seed = fastrand::Rng::with_seed(self.seed);
        for part in [callout as u64, index as u64, nth] {
            seed = fastrand::Rng::with_seed(seed.u64(..) ^ part);
        }
        seed.f64() < rule.probability
    }
}

const FAULTS: &str = "one of hang, hang-uncancellable, delay:TIME, error:ERRNO, panic, \
                      with sync- before and @PROBABILITY or #N-TH-CALL after it if wanted";

/// Reads `[sync-]fault[@probability][#nth]`, or says what would have been right.
fn parse_rule(callout: Option<Callout>, text: &str) -> Result<Rule, String> {
    let (rest, synchronous) = text.strip_prefix("sync-").map_or((text, false), |rest| (rest, true));
    let (mut fault, mut probability, mut nth) = (rest, 1.0, None);
    while let Some(at) = fault.rfind(['@', '#']) {
        let (before, suffix) = fault.split_at(at);
        match suffix.split_at(1) {
            ("@", value) => {
                let value = value.parse().ok().filter(|value| (0.0..=1.0).contains(value));
                probability = value.ok_or("a probability from 0 to 1 after @")?;
            }
            (_, value) => {
                let value = value.parse().ok().filter(|&value: &u64| value > 0);
                nth = Some(value.ok_or("a number above 0 after #")?);
            }
        }
        fault = before;
    }
    let fault = parse_fault(fault)?;
    let pointless = callout.is_some_and(|callout| !callout.can_fail());
    if pointless && matches!(fault, Fault::Error(_)) {
        return Err("no error: this callout returns none".to_owned());
    }
    Ok(Rule { callout, fault, synchronous, probability, nth })
}

fn parse_fault(text: &str) -> Result<Fault, String> {
    let (kind, argument) = match text.split_once(':') {
        Some((kind, argument)) => (kind, Some(argument)),
        None => (text, None),
    };
    match (kind, argument) {
        ("hang", None) => Ok(Fault::Hang),
        ("hang-uncancellable", None) => Ok(Fault::HangUncancellable),
        ("panic", None) => Ok(Fault::Panic),
        ("delay", Some(time)) => humantime::parse_duration(time)
            .map(Fault::Delay)
            .map_err(|_| "a time after delay:, like 100ms or 2s".to_owned()),
        ("error", Some(name)) => Errno::from_name(name)
            .map(|errno| Fault::Error(errno.into()))
            .ok_or_else(|| "an error name after error:, like EIO or ENOSPC".to_owned()),
        _ => Err(FAULTS.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(options: &[(&str, &str)]) -> FaultPlan {
        let mut plan = FaultPlan::none();
        for (key, value) in options {
            assert_eq!(plan.read(key, value), Ok(true), "{key}={value}");
        }
        plan
    }

    #[test]
    fn rules_are_read() {
        let always = |callout, fault| Rule::always(Some(callout), fault);
        let delay = Fault::Delay(Duration::from_millis(100));
        let eio = Fault::Error(Errno::EIO.into());
        for (key, value, want) in [
            ("read", "hang", always(Callout::Read, Fault::Hang)),
            ("read", "delay:100ms", always(Callout::Read, delay)),
            ("write", "error:EIO", always(Callout::Write, eio)),
            ("open", "panic", always(Callout::Open, Fault::Panic)),
            ("lookup", "error:EIO@0.1", Rule { probability: 0.1, ..always(Callout::Lookup, eio) }),
            ("read", "hang#3", Rule { nth: Some(3), ..always(Callout::Read, Fault::Hang) }),
            ("write", "hang-uncancellable", always(Callout::Write, Fault::HangUncancellable)),
            ("read", "sync-hang", Rule { synchronous: true, ..always(Callout::Read, Fault::Hang) }),
            (
                "all",
                "delay:100ms@0.5#2",
                Rule {
                    callout: None,
                    fault: delay,
                    synchronous: false,
                    probability: 0.5,
                    nth: Some(2),
                },
            ),
        ] {
            assert_eq!(plan(&[(key, value)]).rules, [want], "{key}={value}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_cure() {
        for (key, value, cure) in [
            ("read", "hnag", "one of hang"),
            ("read", "", "one of hang"),
            ("read", "hang:1s", "one of hang"),
            ("read", "delay", "one of hang"),
            ("read", "delay:soon", "like 100ms"),
            ("read", "error:EWHAT", "like EIO"),
            ("read", "hang@2", "0 to 1"),
            ("read", "hang@-1", "0 to 1"),
            ("read", "hang#0", "above 0"),
            ("finalize_srv_call", "error:EIO", "returns none"),
            ("seed", "x", "a number"),
            ("blocking", "perhaps", "yes or no"),
        ] {
            let error = FaultPlan::none().read(key, value).expect_err(value).to_string();
            assert!(error.contains(cure), "{key}={value}: {error}");
        }
        assert_eq!(FaultPlan::none().read("max_fds", "3"), Ok(false), "somebody else's");
    }

    #[test]
    fn the_same_seed_decides_the_same() {
        let seeded = |seed: u64| {
            let plan = plan(&[("seed", &seed.to_string()), ("read", "error:EIO@0.3")]);
            (1..=1000).map(|nth| plan.decide(Callout::Read, nth).end.is_some()).collect::<Vec<_>>()
        };
        let first = seeded(7);
        assert_eq!(first, seeded(7));
        assert_ne!(first, seeded(8));
        let failed = first.iter().filter(|&&failed| failed).count();
        assert!((200..400).contains(&failed), "{failed} of 1000 at 0.3");
    }

    #[test]
    fn chances_of_rules_and_callouts_are_their_own() {
        let plan = plan(&[("all", "error:EIO@0.5"), ("all", "error:ENOSPC@0.5")]);
        let decided = |callout| (1..=200).map(|nth| plan.decide(callout, nth)).collect::<Vec<_>>();
        assert_ne!(decided(Callout::Read), decided(Callout::Write));
        let ends: Vec<_> = decided(Callout::Read).iter().map(|script| script.end).collect();
        for want in [None, Some(Errno::EIO), Some(Errno::ENOSPC)] {
            let want = want.map(|errno| End::Error(errno.into()));
            assert!(ends.contains(&want), "{want:?}");
        }
    }

    #[test]
    fn rules_add_up_until_one_ends() {
        let plan = plan(&[
            ("read", "delay:1s"),
            ("all", "delay:2s"),
            ("read", "hang#2"),
            ("read", "error:EIO#2"),
            ("read", "panic"),
            ("write", "hang"),
        ]);
        let first = plan.decide(Callout::Read, 1);
        let three = Duration::from_secs(3);
        assert_eq!(first, Script { delay: three, end: Some(End::Panic), ..Script::default() });
        let second = plan.decide(Callout::Read, 2);
        assert_eq!(second.hang, Some(Hang::Cancellable));
        assert_eq!(second.end, Some(End::Error(Errno::EIO.into())));
        assert!(plan.may_block() && !FaultPlan::none().may_block());
        let quiet = FaultPlan::none().with(Callout::Read, Fault::Panic);
        assert!(!quiet.may_block());
        let all = FaultPlan {
            rules: vec![Rule::always(None, Fault::Error(Status::NotSupported))],
            ..quiet
        };
        assert_eq!(all.decide(Callout::FinalizeSrvCall, 1).end, None, "it returns no error");
    }
}
