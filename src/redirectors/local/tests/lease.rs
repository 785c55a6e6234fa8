//! The lease: what others change is told, and what may be cached meanwhile.
//!
//! The tests' process is its own "others": there are two leases, or what it does goes past `local`.

use super::{Served, is_superuser, name};
use crate::base::clock::{Clock, SystemClock};
use crate::base::name::Name;
use crate::base::stop::Loss;
use crate::mrx::calldown::MiniRedirector;
use crate::mrx::request::{Access, Buffering, FileIdentity};
use crate::mrx::upcall::Upcalls;
use crate::redirectors::local::LocalOptions;
use crate::redirectors::test_support::{LIMIT, TestContext, TestFile, opening};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

#[derive(Debug, PartialEq, Eq)]
enum Told {
    File(FileIdentity),
    Attributes(FileIdentity),
    Name(FileIdentity, Name),
    All,
}

/// A core that tells on.
struct Hearing(std::sync::Mutex<Sender<Told>>);

impl Hearing {
    fn hear(&self, told: Told) {
        // The test may have heard enough.
        let _ = self.0.lock().expect("no test panics in here").send(told);
    }
}

impl Upcalls for Hearing {
    fn clock(&self) -> Arc<dyn Clock> {
        SystemClock::shared()
    }

    fn invalidate_file(&self, identity: FileIdentity) {
        self.hear(Told::File(identity));
    }

    fn invalidate_attributes(&self, identity: FileIdentity) {
        self.hear(Told::Attributes(identity));
    }

    fn invalidate_name(&self, directory: FileIdentity, name: &Name) {
        self.hear(Told::Name(directory, name.clone()));
    }

    fn invalidate_all(&self) {
        self.hear(Told::All);
    }

    fn report_loss(&self, _loss: Loss) {}
}

/// Two on one file system: neither passes over what this process does.
struct Leased {
    served: Served,
    told: Receiver<Told>,
    _other: Served,
}

/// None where there is no right to a lease; then `local` must say so of every file.
fn leased() -> Option<Leased> {
    let (sender, told) = channel();
    let on = |upcalls| {
        let place = tempfile::tempdir().expect("a directory");
        Served::under(place, LocalOptions::default(), upcalls)
    };
    let served = on(Arc::new(Hearing(std::sync::Mutex::new(sender))));
    let (unheard, _) = channel();
    let other = on(Arc::new(Hearing(std::sync::Mutex::new(unheard))));
    if is_superuser() {
        assert!(is_leased(&served), "root has a lease on this machine");
        return Some(Leased { served, told, _other: other });
    }
    assert!(!is_leased(&served));
    None
}

fn is_leased(served: &Served) -> bool {
    let asked =
        served.local.query_file_information(&TestContext::new(), served.root.as_ref(), None);
    asked.expect("answered").leased
}

impl Leased {
    /// Waits until this is told.
    fn hears(&self, wanted: &Told) {
        let clock = SystemClock::new();
        let until = clock.now().after(LIMIT);
        loop {
            let left = until.since(clock.now());
            let told = self.told.recv_timeout(left);
            if told.as_ref().unwrap_or_else(|_| panic!("{wanted:?} is never told")) == wanted {
                return;
            }
        }
    }

    fn buffering(&self, file: &TestFile) -> Buffering {
        let opened =
            self.served.local.open(&TestContext::new(), file.as_ref(), opening(Access::Read));
        opened.expect("opened").buffering
    }
}

/// S-166: names, content and attributes, by whatever name and from wherever.
#[test]
fn what_others_change_is_told() {
    let Some(leased) = leased() else { return };
    let served = &leased.served;
    fs::create_dir(served.path("d")).expect("made");
    fs::write(served.path("d/f"), b"x").expect("written");
    let directory = served.walk("d").expect("found");
    let file = served.walk("d/f").expect("found");
    let (above, below) = (served.root.as_ref().identity, directory.as_ref().identity);
    let it = file.as_ref().identity;

    fs::write(served.path("new"), b"").expect("made");
    leased.hears(&Told::Name(above, name("new")));
    fs::write(served.path("d/f"), b"longer").expect("written");
    leased.hears(&Told::File(it));
    fs::set_permissions(served.path("d/f"), fs::Permissions::from_mode(0o600)).expect("changed");
    leased.hears(&Told::Attributes(it));
    // By a name that was never looked up, from outside the root.
    fs::hard_link(served.path("d/f"), served.outside("g")).expect("linked");
    leased.hears(&Told::Attributes(it));
    fs::write(served.outside("g"), b"by its other name").expect("written");
    leased.hears(&Told::File(it));
    fs::rename(served.path("d/f"), served.path("moved")).expect("renamed");
    leased.hears(&Told::Name(below, name("f")));
    leased.hears(&Told::Name(above, name("moved")));
    fs::remove_file(served.path("moved")).expect("removed");
    leased.hears(&Told::Name(above, name("moved")));
    fs::set_permissions(served.path("d"), fs::Permissions::from_mode(0o700)).expect("changed");
    leased.hears(&Told::Attributes(below));
}

/// S-167: pages and listings stay until somebody else has changed what they show.
#[test]
fn what_is_leased_is_kept_until_others_change_it() {
    let Some(leased) = leased() else { return };
    let served = &leased.served;
    fs::create_dir(served.path("d")).expect("made");
    fs::write(served.path("d/f"), b"x").expect("written");
    let (directory, file) = (served.walk("d").expect("found"), served.walk("d/f").expect("found"));
    // What was done above may be told late: it is past when this is.
    fs::write(served.path("mark"), b"").expect("made");
    leased.hears(&Told::Name(served.root.as_ref().identity, name("mark")));
    for known in [&directory, &file] {
        let keeps = || leased.buffering(known).keep_cache;
        assert_eq!([keeps(), keeps()], [false, true], "nothing is known of before the first open");
    }
    assert!(leased.buffering(&directory).cache_directory);
    // An open that is shared is asked again, too.
    let shared = served.open(&file, opening(Access::Read)).expect("opened");
    let again = || {
        let collapsed = served.local.collapse_open(&TestContext::new(), shared.as_ref());
        collapsed.expect("shared").expect("what may be cached now").keep_cache
    };
    assert!(again());
    fs::write(served.path("d/g"), b"").expect("made");
    leased.hears(&Told::Name(directory.as_ref().identity, name("g")));
    fs::write(served.path("d/f"), b"changed").expect("written");
    leased.hears(&Told::File(file.as_ref().identity));
    assert!(!leased.buffering(&directory).keep_cache);
    assert_eq!([again(), again()], [false, true]);
}

/// S-168: when the system says that it lost count, nothing that was cached counts.
#[test]
fn a_lease_given_up_leases_nothing() {
    let Some(leased) = leased() else { return };
    let served = &leased.served;
    fs::write(served.path("f"), b"x").expect("written");
    let found = served.find(&served.root, "f").expect("found");
    assert!(found.attributes.leased);
    served.local.stop(&TestContext::new()).expect("stopped");
    assert!(!is_leased(served));
}
