//! The control directory, used as users would: by `cat`, `echo`, `poll` and `ioctl`.

use crate::can_mount;
use crate::fixture::{Fixture, TestControl};
use std::sync::Arc;

fn mounted() -> (Fixture, Arc<TestControl>) {
    let control = Arc::new(TestControl::default());
    let change = |config: &mut minirdr::front::options::MountConfig| {
        config.flags.allow_other = true;
    };
    (Fixture::with(change, Some(control.clone())), control)
}

#[test]
fn it_is_looked_up_never_listed_and_cannot_be_moved_or_removed() {
    if !can_mount() {
        return;
    }
    let (fixture, _control) = mounted();
    let listed = fixture.shell("touch $M/f; ls -A $M; ls $M/.minirdr; cat $M/.minirdr/status");
    assert_eq!(listed, "f\ncontrol\nevents\nhandles\nstatus\nstate: running\n");
    let long = fixture.shell("cat $M/.minirdr/handles | wc -c; stat -c %a $M/.minirdr/control");
    assert_eq!(long, "100000\n600\n");
    fixture.shell(
        "cd $M; ! rmdir .minirdr && ! mv .minirdr x && ! mv f .minirdr && ! mkdir .minirdr && \
         ! touch .minirdr/x && ! rm .minirdr/status && ! ln f .minirdr/y && \
         ! chmod 777 .minirdr && ! cat .minirdr/none && test -d .minirdr",
    );
    fixture.unmount();
}

#[test]
fn a_stopped_device_still_answers_here() {
    if !can_mount() {
        return;
    }
    let (fixture, _control) = mounted();
    fixture.shell("echo x > $M/f");
    fixture.host.stop();
    // stop.md G2 and G4: everything else is refused at once; the root and the control files are
    // not.
    fixture.python(include_str!("scripts/stopped.py"));
    fixture.host.start();
    assert_eq!(fixture.shell("cat $M/f"), "x\n");
    fixture.unmount();
}

#[test]
fn commands_by_echo_and_by_ioctl() {
    if !can_mount() {
        return;
    }
    let (fixture, control) = mounted();
    fixture.shell("echo 'stop --check' > $M/.minirdr/control");
    let reply = fixture.shell("exec 3<>$M/.minirdr/control; echo stop >&3; cat <&3");
    assert_eq!(reply, "stop: pending\n");
    fixture.shell("! echo nonsense > $M/.minirdr/control");
    let said = fixture.python(include_str!("scripts/ioctl.py"));
    assert_eq!(said, "0x103 7\n");
    let commands: Vec<String> = control.commands().into_iter().map(|(_, text)| text).collect();
    let wanted = ["stop --check", "stop", "nonsense", "stop --check --unmount --deadline 1500ms"];
    assert_eq!(commands, wanted);
    // Only its owner and root.
    fixture.python(
        "import os\np = os.environ['M'] + '/.minirdr/'\nos.setgid(1000); os.setuid(1000)\n\
         open(p + 'status').read()\n\
         try: open(p + 'control', 'w'); assert False\nexcept PermissionError: pass",
    );
    assert_eq!(control.commands().len(), 4);
    fixture.unmount();
}

#[test]
fn events_wait_and_wake() {
    if !can_mount() {
        return;
    }
    let (fixture, control) = mounted();
    control.event("early");
    let mut reader = fixture.python_beside(include_str!("scripts/events.py"));
    assert_eq!(reader.line(), "early");
    assert_eq!(reader.line(), "waiting");
    crate::common::wait_until("the read waits", || fixture.mount.waiting_reads() == 1);
    assert!(reader.is_silent());
    control.event("late");
    assert_eq!(reader.line(), "late");
    reader.go_on();
    assert_eq!(reader.line(), "polling");
    control.event("polled");
    assert_eq!(reader.line(), "1");
    assert_eq!(reader.line(), "polled");
    reader.end();
    fixture.unmount();
}

/// fuse.md 1.7: nothing tells us that a reader is killed; without the watch it would hang for ever,
/// deaf even to SIGKILL.
#[test]
fn a_killed_reader_of_events_ends_within_a_second() {
    if !can_mount() {
        return;
    }
    let (fixture, _control) = mounted();
    let reader = fixture.python_beside(
        "import os\nf = os.open(os.environ['M'] + '/.minirdr/events', os.O_RDONLY)\n\
         print(os.getpid(), flush=True)\nos.read(f, 4096)",
    );
    let pid = reader.line().parse().expect("its pid");
    crate::common::wait_until("the read waits", || fixture.mount.waiting_reads() == 1);
    let clock = minirdr::base::clock::SystemClock::new();
    let before = minirdr::base::clock::Clock::now(&clock);
    reader.kill(pid);
    let took = minirdr::base::clock::Clock::now(&clock).since(before);
    assert!(took < std::time::Duration::from_millis(1500), "{took:?}");
    fixture.unmount();
}
