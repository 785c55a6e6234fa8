//! The table of the machine, cell by cell, and what always holds.

use super::*;
use proptest::prelude::*;

const CONTROL_CALLS: u32 = 2;

/// A machine in each phase, with its ordinary interface and a call of it that runs where one can.
fn at(phase: Phase) -> (Machine, InterfaceId, Option<CallNumber>) {
    let mut machine = Machine::default();
    machine.add_endpoint();
    let interface = machine.register(Listens::WithServer);
    if phase == Phase::NotListening {
        return (machine, interface, None);
    }
    assert_eq!(machine.listen(1, 4), RpcStatus::Ok);
    let call = machine.begin(interface).expect("it listens");
    if phase == Phase::Draining {
        assert_eq!(machine.stop_listening(None), Stopping::Begun);
    }
    assert_eq!(machine.phase(), phase);
    (machine, interface, Some(call))
}

const PHASES: [Phase; 3] = [Phase::NotListening, Phase::Listening, Phase::Draining];

/// Each cell of the table in the module's doc.
#[test]
fn the_table_is_the_code() {
    use RpcStatus::{AlreadyListening, MaxCallsTooSmall, NoEndpoints, NotListening, Ok};
    for (phase, expected) in PHASES.into_iter().zip([Ok, AlreadyListening, AlreadyListening]) {
        assert_eq!(at(phase).0.listen(1, UNLIMITED_CALLS), expected, "{phase:?}");
    }
    for (min, max) in [(0, 0), (1, 0), (5, 4)] {
        assert_eq!(at(Phase::NotListening).0.listen(min, max), MaxCallsTooSmall);
        assert_eq!(at(Phase::Listening).0.listen(min, max), AlreadyListening);
    }
    assert_eq!(Machine::default().listen(1, 1), NoEndpoints);
    let stops = [Stopping::NotListening, Stopping::Begun, Stopping::Joined];
    for (phase, expected) in PHASES.into_iter().zip(stops) {
        assert_eq!(at(phase).0.stop_listening(None), expected, "{phase:?}");
    }
    for (phase, expected) in PHASES.into_iter().zip([NotListening, Ok, NotListening]) {
        assert_eq!(at(phase).0.is_listening(), expected, "{phase:?}");
    }
    assert_eq!(at(Phase::NotListening).0.wait_listen(), Waiting::Over(NotListening));
    assert_eq!(at(Phase::Listening).0.wait_listen(), Waiting::ForDrain(1));
    assert_eq!(at(Phase::Draining).0.wait_listen(), Waiting::ForDrain(1));
    for phase in PHASES {
        let (mut machine, interface, call) = at(phase);
        let control = machine.register(Listens::Always { max_calls: CONTROL_CALLS });
        assert_eq!(machine.begin(interface).is_ok(), phase == Phase::Listening, "{phase:?}");
        assert!(machine.begin(control).is_ok(), "{phase:?}: auto-listen");
        if let Some(call) = call {
            assert!(machine.callback(call, interface).is_ok(), "{phase:?}: a callback");
        }
    }
}

#[test]
fn a_drain_ends_with_the_last_call_and_can_be_had_again() {
    let (mut machine, interface, call) = at(Phase::Draining);
    let call = call.expect("runs");
    let nested = machine.callback(call, interface).expect("a running call may");
    machine.end(call);
    assert_eq!(machine.phase(), Phase::Draining, "its callback runs");
    assert_eq!(machine.begin(interface), Err(Refusal::UnknownInterface));
    machine.end(nested);
    assert_eq!(machine.phase(), Phase::NotListening);
    assert_eq!(machine.counts(), Counts { begun: 2, ended: 2, refused: 1, excused: 0 });
    assert_eq!(machine.wait_listen(), Waiting::Over(RpcStatus::Ok), "it has listened");
    assert_eq!(machine.listen(1, 1), RpcStatus::Ok);
    assert!(machine.has_drained(1) && !machine.has_drained(2), "a new listening undoes no drain");
    assert_eq!(machine.stop_listening(None), Stopping::Begun);
    assert_eq!(machine.phase(), Phase::NotListening, "nothing ran");
}

#[test]
fn who_asks_for_the_drain_is_not_waited_for() {
    let (mut machine, interface, call) = at(Phase::Listening);
    let call = call.expect("runs");
    let nested = machine.callback(call, interface).expect("may");
    let other = machine.begin(interface).expect("listens");
    assert_eq!(machine.stop_listening(Some(nested)), Stopping::Begun);
    assert_eq!(machine.phase(), Phase::Draining, "the other runs");
    let late = machine.callback(nested, interface).expect("a part of a call that runs");
    assert_eq!(machine.stop_listening(Some(other)), Stopping::Joined);
    assert_eq!(machine.phase(), Phase::NotListening, "all that is left has asked for it");
    assert_eq!(machine.counts().excused, 4);
    for call in [late, nested, other, call] {
        machine.end(call);
    }
    let counts = machine.counts();
    assert_eq!((counts.begun, counts.excused), (counts.ended, 0));
}

#[test]
fn calls_are_bounded_and_callbacks_are_not_held_up() {
    let mut machine = Machine::default();
    machine.add_endpoint();
    let interface = machine.register(Listens::WithServer);
    let control = machine.register(Listens::Always { max_calls: CONTROL_CALLS });
    assert_eq!(machine.listen(1, 1), RpcStatus::Ok);
    let call = machine.begin(interface).expect("the first");
    assert_eq!(machine.begin(interface), Err(Refusal::TooBusy));
    let nested = machine.callback(call, interface).expect("not held up");
    machine.end(nested);
    machine.end(call);
    assert!(machine.begin(interface).is_ok(), "there is room again");
    for _ in 0..CONTROL_CALLS {
        assert!(machine.begin(control).is_ok());
    }
    assert_eq!(machine.begin(control), Err(Refusal::TooBusy), "a bound of its own");
}

/// `RPC_C_LISTEN_MAX_CALLS_DEFAULT` is no number of calls.
#[test]
fn unlimited_is_unlimited() {
    let mut machine = Machine::default();
    machine.add_endpoint();
    let interface = machine.register(Listens::WithServer);
    assert_eq!(machine.listen(1, UNLIMITED_CALLS), RpcStatus::Ok);
    for call in 0..2 * UNLIMITED_CALLS {
        assert!(machine.begin(interface).is_ok(), "call {call}");
    }
}

/// `unregister_if` in each phase: an interface that is not there, or is gone already, is 1717; the
/// wildcard finds none and says so by finding none.
#[test]
fn unregistering_what_is_not_there_is_1717_in_every_phase() {
    for phase in PHASES {
        let (mut machine, interface, _) = at(phase);
        let control = machine.register(Listens::Always { max_calls: CONTROL_CALLS });
        for wait in [false, true] {
            let gone = machine.register(Listens::WithServer);
            assert_eq!(machine.unregister(Which::One(gone), wait, None), Ok(vec![gone]));
            let again = machine.unregister(Which::One(gone), wait, None);
            assert_eq!(again, Err(RpcStatus::UnknownInterface), "{phase:?}");
        }
        let all = machine.unregister(Which::AllOrdinary, false, None);
        assert_eq!(all, Ok(vec![interface]), "{phase:?}: not the auto-listen one");
        assert_eq!(machine.unregister(Which::AllOrdinary, false, None), Ok(Vec::new()));
        assert!(machine.begin(control).is_ok(), "{phase:?}");
        assert_eq!(machine.unregister(Which::One(control), false, None), Ok(vec![control]));
        assert!(machine.begin(control).is_err(), "one by one it goes");
    }
}

#[test]
fn a_call_of_an_auto_listen_interface_opens_no_back_door() {
    let (mut machine, interface, _) = at(Phase::Draining);
    let control = machine.register(Listens::Always { max_calls: CONTROL_CALLS });
    let call = machine.begin(control).expect("listens");
    assert_eq!(machine.callback(call, interface), Err(Refusal::UnknownInterface));
    assert!(machine.callback(call, control).is_ok());
}

#[test]
fn unregistering_spares_what_runs_and_never_waits_for_itself() {
    let (mut machine, interface, call) = at(Phase::Listening);
    let call = call.expect("runs");
    let control = machine.register(Listens::Always { max_calls: CONTROL_CALLS });
    let inside = machine.begin(control).expect("listens");
    let refused = machine.unregister(Which::AllOrdinary, true, Some(call));
    assert_eq!(refused, Err(RpcStatus::CannotComplete), "it would wait for itself");
    let nested = machine.callback(inside, interface).expect("listens");
    let refused = machine.unregister(Which::One(control), true, Some(nested));
    assert_eq!(refused, Err(RpcStatus::CannotComplete), "nor for what it is a part of");
    assert!(machine.begin(interface).is_ok(), "a refusal changes nothing");

    assert_eq!(machine.unregister(Which::AllOrdinary, true, Some(inside)), Ok(vec![interface]));
    assert!(!machine.is_gone(interface), "calls run");
    assert_eq!(machine.begin(interface), Err(Refusal::UnknownInterface));
    let again = machine.unregister(Which::One(interface), false, None);
    assert_eq!(again, Err(RpcStatus::UnknownInterface), "it is on its way");
    assert_eq!(machine.unregister(Which::AllOrdinary, false, None), Ok(Vec::new()));
    assert!(machine.callback(call, interface).is_ok(), "what runs may still call back");
    assert!(machine.begin(control).is_ok(), "the wildcard spares auto-listen interfaces");
    let gone = machine.register(Listens::WithServer);
    assert_eq!(machine.unregister(Which::One(gone), false, None), Ok(vec![gone]));
    assert!(machine.is_gone(gone), "nothing ran");
}

#[derive(Clone, Debug)]
enum Step {
    Listen(u32),
    Stop(Option<usize>),
    Begin(usize),
    Callback(usize, usize),
    End(usize),
    Register(bool),
    Unregister(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u32..4).prop_map(Step::Listen),
        proptest::option::of(any::<usize>()).prop_map(Step::Stop),
        any::<usize>().prop_map(Step::Begin),
        any::<(usize, usize)>().prop_map(|(call, interface)| Step::Callback(call, interface)),
        any::<usize>().prop_map(Step::End),
        any::<bool>().prop_map(Step::Register),
        any::<usize>().prop_map(Step::Unregister),
    ]
}

fn pick<T: Copy>(from: &[T], at: usize) -> Option<T> {
    (!from.is_empty()).then(|| from[at % from.len()])
}

proptest! {
    /// Management.md §7, 3: outside of `Listening` no ordinary call begins, and at
    /// `NotListening` calls in are calls out, but for those that asked.
    #[test]
    fn i3_calls_in_are_calls_out(steps in proptest::collection::vec(step(), 0..80)) {
        let mut machine = Machine::default();
        machine.add_endpoint();
        let mut interfaces = vec![(machine.register(Listens::WithServer), true)];
        let mut calls: Vec<CallNumber> = Vec::new();
        for step in steps {
            match step {
                Step::Listen(max) => {
                    machine.listen(1, max);
                }
                Step::Stop(asker) => {
                    machine.stop_listening(asker.and_then(|at| pick(&calls, at)));
                }
                Step::Begin(at) => if let Some((interface, ordinary)) = pick(&interfaces, at) {
                    let phase = machine.phase();
                    if let Ok(call) = machine.begin(interface) {
                        prop_assert!(!ordinary || phase == Phase::Listening);
                        calls.push(call);
                    }
                },
                Step::Callback(call, at) => {
                    let (call, target) = (pick(&calls, call), pick(&interfaces, at));
                    if let (Some(call), Some((interface, _))) = (call, target) {
                        calls.extend(machine.callback(call, interface));
                    }
                }
                Step::End(at) => if let Some(call) = pick(&calls, at) {
                    calls.retain(|other| *other != call);
                    machine.end(call);
                },
                Step::Register(ordinary) => {
                    let always = Listens::Always { max_calls: CONTROL_CALLS };
                    let listens = if ordinary { Listens::WithServer } else { always };
                    interfaces.push((machine.register(listens), ordinary));
                }
                Step::Unregister(at) => if let Some((interface, _)) = pick(&interfaces, at) {
                    let _ = machine.unregister(Which::One(interface), false, None);
                },
            }
            let counts = machine.counts();
            prop_assert_eq!(counts.begun - counts.ended, calls.len() as u64);
            prop_assert_eq!(machine.running(), calls.len());
            let waited = |call: &&Running| call.ordinary && !call.excused;
            let waited = machine.calls.values().filter(waited).count();
            prop_assert_eq!(waited, machine.waited_for);
            prop_assert!(machine.phase() != Phase::Draining || waited > 0, "it is over");
        }
        let _ = machine.stop_listening(None);
        for call in calls {
            machine.end(call);
        }
        prop_assert_eq!(machine.phase(), Phase::NotListening);
        prop_assert_eq!(machine.counts().begun, machine.counts().ended);
    }
}
