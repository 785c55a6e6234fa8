//! Giving the live connection away between two requests, and taking it up again.

use crate::can_mount;
use crate::fixture::{Fixture, LIMIT};
use minirdr::front::session::{Ended, Mount};
use std::sync::mpsc::channel;
use std::time::Duration;

/// Programs that use the mount see three successors come, and no error.
#[test]
fn a_connection_is_handed_on_under_load() {
    if !can_mount() {
        return;
    }
    let mut fixture = Fixture::with(
        |config| {
            config.front.entry_timeout = Duration::ZERO;
            config.front.attribute_timeout = Duration::ZERO;
        },
        None,
    );
    let mut load = fixture.python_beside(include_str!("scripts/load.py"));
    assert_eq!(load.line(), "loaded");
    for round in 0..3 {
        load.go_on();
        assert_eq!(load.line(), "on", "round {round}");
        let id = fixture.mount.mount_id();
        let connection = fixture.mount.detach(LIMIT).expect("what runs ends");
        let (sender, gone) = channel();
        let on_gone = Box::new(move |ended| sender.send(ended).unwrap_or_default());
        let dispatcher = fixture.host.device.clone();
        let mount = Mount::adopt(&fixture.config, connection, dispatcher, None, on_gone);
        fixture.mount = mount.expect("it can be served again");
        assert!(fixture.gone.try_recv().is_err(), "a detached mount has not ended");
        fixture.gone = gone;
        assert_eq!(fixture.mount.mount_id(), id);
    }
    load.go_on();
    assert_eq!(load.line(), "on");
    load.finish_input();
    assert_eq!(load.line(), "[]");
    load.end();
    assert_eq!(fixture.mount.defects(), 0);
    fixture.unmount();
}

/// What does not end in time keeps its mount: it is served as before, and nothing was lost.
#[test]
fn a_detach_that_fails_changes_nothing() {
    if !can_mount() {
        return;
    }
    use crate::common::null::{Hold, Null, NullRedirector};
    let null = Null::posted();
    let host = {
        let null = null.clone();
        crate::common::Host::started(std::sync::Arc::new(NullRedirector(null)))
    };
    let place = tempfile::tempdir().expect("/tmp has room");
    let config = minirdr::front::options::MountConfig::new("null:", place.path());
    let (mut mount, gone) =
        crate::fixture::start(&config, host.device.clone(), None).expect("it mounts");
    null.hold("read", Hold::Stubbornly);
    let reader = crate::fixture::Client::of(
        place.path(),
        "python3",
        "import os\nf = os.open(os.environ['M'] + '/f', os.O_RDONLY)\nprint(len(os.read(f, 10)))",
    );
    crate::common::wait_until("the read is held", || null.inside("read") > 0);
    let refused = mount.detach(Duration::from_millis(50)).map(|_| ());
    assert!(refused.is_err_and(|error| error.to_string().contains("did not end in time")));
    null.release();
    assert_eq!(reader.line(), "10");
    reader.end();
    assert_eq!(mount.registration().deregister(false), Ok(true));
    assert_eq!(gone.recv_timeout(LIMIT), Ok(Ended::KernelGone));
    mount.join();
    host.device.connection_gone();
}
