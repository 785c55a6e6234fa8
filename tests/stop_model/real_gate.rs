//! The reference gate of the model against the real one: any operations in any order, with the same
//! answers and the same counts. This is what ties the model to the code.

use crate::gate::{Close, Gate, Normal};
use minirdr::base::ids::Generation;
use minirdr::base::status::Status;
use minirdr::base::stop::State;
use minirdr::rdbss::gate::{CloseEntry, Gate as RealGate, GateView, Pass};
use proptest::prelude::*;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Operation {
    EnterNormal {
        opens: bool,
    },
    /// A close of a handle that is so many generations old; -1 of the one being started.
    EnterClose {
        age: i8,
    },
    /// One of those inside leaves.
    Leave(prop::sample::Index),
    Drive(State),
}

fn any_state() -> impl Strategy<Value = State> {
    prop::sample::select(State::ALL.to_vec())
}

fn any_operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => any::<bool>().prop_map(|opens| Operation::EnterNormal { opens }),
        3 => (-1_i8..3).prop_map(|age| Operation::EnterClose { age }),
        3 => any::<prop::sample::Index>().prop_map(Operation::Leave),
        2 => any_state().prop_map(Operation::Drive),
    ]
}

fn normal(answer: &Result<Pass, Status>) -> Normal {
    match answer {
        Ok(_) => Normal::Admitted,
        Err(Status::RedirectorPaused) => Normal::Paused,
        Err(Status::RedirectorNotStarted) => Normal::NotStarted,
        Err(other) => panic!("the gate says {other:?}"),
    }
}

fn close(answer: &CloseEntry) -> Close {
    match answer {
        CloseEntry::Counted(_) => Close::Counted,
        CloseEntry::Survivor => Close::Survivor,
        CloseEntry::Deferred => Close::Deferred,
    }
}

fn compare(operations: Vec<Operation>) -> Result<(), TestCaseError> {
    let (mut reference, real) = (Gate::new(), RealGate::new());
    let mut inside: Vec<Pass> = Vec::new();
    for operation in operations {
        match operation {
            Operation::EnterNormal { opens } => {
                let answer = real.enter_normal(opens);
                prop_assert_eq!(normal(&answer), reference.enter_normal(opens));
                inside.extend(answer);
            }
            Operation::EnterClose { age } => {
                let generation = (reference.generation as i8 - age).max(0) as u8;
                let answer = real.enter_close(Generation(generation.into()));
                prop_assert_eq!(close(&answer), reference.enter_close(generation));
                if let CloseEntry::Counted(pass) = answer {
                    inside.push(pass);
                }
            }
            Operation::Leave(which) if !inside.is_empty() => {
                let pass = inside.swap_remove(which.index(inside.len()));
                reference.leave(pass.is_close());
                real.leave(pass);
            }
            Operation::Leave(_) => {}
            Operation::Drive(state) => {
                reference.set_state(state);
                real.drive(state);
            }
        }
        let expected = GateView {
            state: reference.state,
            generation: Generation(reference.generation.into()),
            closes: reference.closes.into(),
            normals: reference.normals.into(),
        };
        prop_assert_eq!(real.view(), expected);
        prop_assert_eq!(real.wait_normals(Duration::ZERO), reference.normals == 0);
        prop_assert_eq!(real.wait_closes(Duration::ZERO), reference.closes == 0);
    }
    Ok(())
}

/// Stop.md G1, G2: table and counts.
#[test]
fn g1_g2_the_real_gate_does_what_the_reference_does() {
    let strategy = prop::collection::vec(any_operation(), 0..60);
    crate::seeded::check("g1_g2_the_real_gate", 1000, &strategy, compare);
}
