//! The gate under loom: every schedule of a few threads, and every value the memory model lets them
//! read. Run with `--cfg loom` (docs/TESTING.md, "Model checking"); without it nothing is here.
#![cfg(loom)]

#[path = "checkers/loom.rs"]
mod checker;

use checker::{Backend, Driver, FOREVER, check, check_within};
use loom::sync::mpsc::channel;
use loom::thread;
use minirdr::base::ids::Generation;
use minirdr::base::stop::State;
use minirdr::base::sync::atomic::{AtomicBool, Ordering};
use minirdr::rdbss::gate::CloseEntry;
use minirdr::rdbss::lifecycle::Event;
use std::sync::Arc;

const STOP: Event = Event::StopCalled { quiet: true, grace: false };

/// A request: enters or is refused; inside, the backend is up.
fn request(driver: &Driver, backend: &Backend) {
    if let Ok(pass) = driver.gate.enter_normal(false) {
        backend.used();
        driver.gate.leave(pass);
    }
}

/// A close of generation 1: counted, put off, or a survivor's.
fn close(driver: &Driver, backend: &Arc<Backend>) {
    match driver.gate.enter_close(Generation(1)) {
        CloseEntry::Counted(pass) => {
            backend.used();
            driver.gate.leave(pass);
        }
        CloseEntry::Survivor => backend.used_by_survivor(),
        CloseEntry::Deferred => {
            let later = backend.clone();
            if let Some(now) = driver.deferred.put_off(Box::new(move || later.used_by_survivor())) {
                now();
            }
        }
    }
}

/// Stop.md G1: whoever passed has left before MRxStop runs, and it sees what they did.
#[test]
fn g1_one_request_against_a_stop() {
    check("one request, stop", || {
        let (driver, backend) = (Driver::started(), Backend::up());
        let client = {
            let (driver, backend) = (driver.clone(), backend.clone());
            thread::spawn(move || request(&driver, &backend))
        };
        driver.stop(&backend);
        client.join().expect("no panic");
        backend.used_is(0..=1);
        assert_eq!(driver.gate.view().normals, 0);
    });
}

/// The same with two of them.
#[test]
fn g1_two_requests_against_a_stop() {
    check("two requests, stop", || {
        let (driver, backend) = (Driver::started(), Backend::up());
        let clients: Vec<_> = (0..2)
            .map(|_| {
                let (driver, backend) = (driver.clone(), backend.clone());
                thread::spawn(move || request(&driver, &backend))
            })
            .collect();
        driver.stop(&backend);
        for client in clients {
            client.join().expect("no panic");
        }
        backend.used_is(0..=2);
        assert_eq!(driver.gate.view().normals, 0);
    });
}

/// A request and a close: the close is never refused, and never runs beside MRxStop.
#[test]
fn g3_a_request_and_a_close_against_a_stop() {
    check("request, close, stop", || {
        let (driver, backend) = (Driver::started(), Backend::up());
        let client = {
            let (driver, backend) = (driver.clone(), backend.clone());
            thread::spawn(move || request(&driver, &backend))
        };
        let closer = {
            let (driver, backend) = (driver.clone(), backend.clone());
            thread::spawn(move || close(&driver, &backend))
        };
        driver.stop(&backend);
        client.join().expect("no panic");
        closer.join().expect("no panic");
        backend.used_is(1..=2);
        assert_eq!((driver.gate.view().normals, driver.gate.view().closes), (0, 0));
    });
}

/// Two closes against the seal: each is run once, counted before MRxStop or put off past it.
#[test]
fn s3_two_closes_against_sealing() {
    check("two closes, stop", || {
        let (driver, backend) = (Driver::started(), Backend::up());
        let closers: Vec<_> = (0..2)
            .map(|_| {
                let (driver, backend) = (driver.clone(), backend.clone());
                thread::spawn(move || close(&driver, &backend))
            })
            .collect();
        driver.stop(&backend);
        for closer in closers {
            closer.join().expect("no panic");
        }
        backend.used_is(2..=2);
        assert_eq!(driver.gate.view().closes, 0);
    });
}

/// Stop.md C2, G1: once a caller has been told that the stop is decided, nothing gets in.
#[test]
fn c2_a_visible_decision_refuses() {
    check("decision visible", || {
        let driver = Driver::started();
        let told = Arc::new(AtomicBool::new(false));
        let client = {
            let (driver, told) = (driver.clone(), told.clone());
            thread::spawn(move || {
                let late = told.load(Ordering::Acquire);
                match driver.gate.enter_normal(false) {
                    Ok(pass) => {
                        assert!(!late, "let in after the stop was answered");
                        driver.gate.leave(pass);
                    }
                    Err(_) => {}
                }
            })
        };
        driver.event(STOP);
        told.store(true, Ordering::Release);
        client.join().expect("no panic");
    });
}

/// Stop, then start again, with a request that comes at any moment: it meets a backend that is up,
/// and all of what the start did.
#[test]
fn s5_a_request_against_stop_and_start() {
    check("request, stop, start", || {
        let (driver, backend) = (Driver::started(), Backend::up());
        let client = {
            let (driver, backend) = (driver.clone(), backend.clone());
            thread::spawn(move || request(&driver, &backend))
        };
        driver.stop(&backend);
        driver.start(&backend);
        client.join().expect("no panic");
        assert_eq!(driver.gate.view().generation, Generation(2));
        assert_eq!(driver.gate.view().normals, 0);
        request(&driver, &backend);
    });
}

/// Stop.md S3: the close of an old generation is never counted in the new one's gate, whenever it
/// comes.
#[test]
fn s3_an_old_close_against_stop_and_start() {
    check("old close, stop, start", || {
        let (driver, backend) = (Driver::started(), Backend::up());
        let closer = {
            let (driver, backend) = (driver.clone(), backend.clone());
            thread::spawn(move || close(&driver, &backend))
        };
        driver.stop(&backend);
        driver.start(&backend);
        closer.join().expect("no panic");
        backend.used_is(1..=1);
        assert_eq!(driver.gate.view().closes, 0);
        assert!(matches!(driver.gate.enter_close(Generation(1)), CloseEntry::Survivor));
    });
}

/// Two stops at once: the machine lets one of them flip, and both see the gate shut.
#[test]
fn s8_two_stops_flip_once() {
    check("two stops, request", || {
        let (driver, backend) = (Driver::started(), Backend::up());
        let client = {
            let (driver, backend) = (driver.clone(), backend.clone());
            thread::spawn(move || request(&driver, &backend))
        };
        let other = {
            let driver = driver.clone();
            thread::spawn(move || {
                driver.event(STOP);
                assert!(driver.gate.enter_normal(false).is_err());
            })
        };
        driver.stop(&backend);
        client.join().expect("no panic");
        other.join().expect("no panic");
        backend.used_is(0..=1);
        assert_eq!(driver.gate.view().state, driver.state());
    });
}

/// A pass may be given back on another thread than it was taken on: the stopper is woken, and sees
/// what was done under it.
#[test]
fn a_pass_left_on_another_thread() {
    check("pass handed over, stop", || {
        let (driver, backend) = (Driver::started(), Backend::up());
        let (sender, receiver) = channel();
        let pass = driver.gate.enter_normal(false).expect("started");
        let (worker_driver, worker_backend) = (driver.clone(), backend.clone());
        let worker = thread::spawn(move || {
            let pass = receiver.recv().expect("the other end sends");
            worker_backend.used();
            worker_driver.gate.leave(pass);
        });
        sender.send(pass).expect("the worker receives");
        driver.stop(&backend);
        worker.join().expect("no panic");
        backend.used_is(1..=1);
    });
}

/// Stop.md §4 step 3: a request that becomes cancellable in the moment of the flip is either
/// counted by the stopper or wakes it. Here it ends only when it is told to: a lost wake-up is a
/// deadlock.
#[test]
fn a_request_becomes_cancellable_at_the_flip() {
    check("became cancellable, stop", || {
        let (driver, backend) = (Driver::started(), Backend::up());
        let pass = driver.gate.enter_normal(false).expect("started");
        let (cancel, cancelled) = channel();
        let waiter = {
            let (driver, backend) = (driver.clone(), backend.clone());
            thread::spawn(move || {
                driver.gate.became_cancellable();
                cancelled.recv().expect("the stop cancels it");
                driver.gate.ceased_cancellable();
                backend.used();
                driver.gate.leave(pass);
            })
        };
        driver.event(STOP);
        while !driver.gate.wait_uncancellable(FOREVER) {}
        cancel.send(()).expect("it waits");
        driver.drained(&backend);
        waiter.join().expect("no panic");
        backend.used_is(1..=1);
    });
}

/// The same beside one that cannot be cancelled: the drain's first wait is for that one.
#[test]
fn the_uncancellable_is_waited_for_first() {
    check_within(2, "cancellable and stubborn, stop", || {
        let (driver, backend) = (Driver::started(), Backend::up());
        let (patient, stubborn) = (
            driver.gate.enter_normal(false).expect("started"),
            driver.gate.enter_normal(false).expect("started"),
        );
        let ended = Arc::new(AtomicBool::new(false));
        let (cancel, cancelled) = channel();
        let waiter = {
            let driver = driver.clone();
            thread::spawn(move || {
                driver.gate.became_cancellable();
                cancelled.recv().expect("the stop cancels it");
                driver.gate.ceased_cancellable();
                driver.gate.leave(patient);
            })
        };
        let worker = {
            let (driver, ended) = (driver.clone(), ended.clone());
            thread::spawn(move || {
                ended.store(true, Ordering::Relaxed);
                driver.gate.leave(stubborn);
            })
        };
        driver.event(STOP);
        while !driver.gate.wait_uncancellable(FOREVER) {}
        assert!(ended.load(Ordering::Relaxed), "cancelled before the stubborn one had ended");
        cancel.send(()).expect("it waits");
        driver.drained(&backend);
        waiter.join().expect("no panic");
        worker.join().expect("no panic");
    });
}

/// A stop that is taken back while a request runs: the stopper is woken by the roll-back, and the
/// gate is open again with the request still counted.
#[test]
fn s2_a_roll_back_wakes_the_stopper() {
    check("request, stop, resume", || {
        let driver = Driver::started();
        let pass = driver.gate.enter_normal(false).expect("started");
        driver.event(STOP);
        let resumer = {
            let driver = driver.clone();
            thread::spawn(move || driver.event(Event::ResumeCalled))
        };
        while driver.state() == State::Draining && !driver.gate.wait_normals(FOREVER) {}
        assert_eq!(driver.gate.view().normals, 1);
        resumer.join().expect("no panic");
        driver.gate.leave(pass);
        assert_eq!(driver.gate.view().state, State::Started);
        assert!(driver.gate.enter_normal(true).is_ok());
    });
}
