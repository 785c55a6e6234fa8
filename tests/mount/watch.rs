//! `minirdr watch` on a real mount: what is told, what the kernel then shows, and what a stop is to
//! it.

use crate::client::Client;
use crate::common::wait_until;
use crate::mounted::{Mounted, can_mount, is_root};
use minirdr::base::clock::{Clock, Moment, SystemClock};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Every name and attribute is the kernel's for a minute.
const LONG: &str = "entry_timeout=60,attr_timeout=60,negative_timeout=60";

/// A watch of a path, from its first word on.
fn watching(mounted: &Mounted, path: &str) -> Client {
    let watch = starting(mounted, path);
    assert_eq!(next(&watch), ("watching".to_owned(), path.to_owned()));
    watch
}

fn starting(mounted: &Mounted, path: &str) -> Client {
    let mut watch = mounted.command(&["watch", "t", path, "--json"]);
    watch.stdin(Stdio::null()).stderr(Stdio::null());
    Client::start(watch)
}

/// The next thing that is told: its kind and its path.
fn next(watch: &Client) -> (String, String) {
    let line = watch.line();
    let told: serde_json::Value = serde_json::from_str(&line).expect("an object");
    assert_eq!((&told["schema"], &told["verb"]), (&"minirdr/1".into(), &"watch".into()));
    let word = |key: &str| told["event"][key].as_str().expect("a word").to_owned();
    (word("kind"), word("path"))
}

/// Reads on until this is told; what is told before it.
fn until(watch: &Client, kind: &str, path: &str) -> Vec<(String, String)> {
    let mut before = Vec::new();
    loop {
        let told = next(watch);
        if told == (kind.to_owned(), path.to_owned()) {
            return before;
        }
        assert!(before.len() < 10_000, "never told: {kind} {path}");
        before.push(told);
    }
}

/// Descriptors of the daemon that are inotify's.
fn inotify_descriptors(mounted: &Mounted) -> usize {
    let directory = format!("/proc/{}/fd", mounted.pid().as_raw_nonzero());
    let links = fs::read_dir(directory).expect("it lives").flatten();
    let links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|link| link.to_string_lossy().contains("inotify")).count()
}

/// S-130, S-133: what others do on the server and what is done through the mount is told, and once
/// it is told the kernel shows it, although it might have kept what it knew for a minute.
#[test]
fn s130_s133_what_is_told_is_what_the_mount_shows() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::local(LONG);
    let (back, mount) = (mounted.backing().join("docs"), mounted.at("docs"));
    fs::create_dir(&back).expect("made");
    fs::write(back.join("a"), "old").expect("written");
    let read = |name: &str| {
        let path = mount.join(name);
        mounted.bounded("reading", || fs::read_to_string(path))
    };
    assert_eq!(read("a").expect("there"), "old");
    assert!(read("new").is_err() && read("c").is_err(), "the kernel knows that they are not there");
    let watch = watching(&mounted, "/docs");

    // As long as it was: without the notice nothing would show that it is another.
    fs::write(back.join("a"), "new").expect("written");
    until(&watch, "modified", "/docs/a");
    assert_eq!(read("a").expect("there"), "new");

    fs::write(back.join("new"), "1").expect("written");
    until(&watch, "created", "/docs/new");
    assert_eq!(read("new").expect("there"), "1");

    fs::write(back.join("b"), "by a rename").expect("written");
    fs::rename(back.join("b"), back.join("a")).expect("renamed");
    until(&watch, "removed", "/docs/b");
    until(&watch, "created", "/docs/a");
    assert_eq!(read("a").expect("there"), "by a rename");

    fs::remove_file(back.join("a")).expect("removed");
    until(&watch, "removed", "/docs/a");
    assert!(read("a").is_err(), "it is gone");

    let (made, moved) = (mount.join("c"), mount.join("d"));
    mounted.bounded("working", || {
        fs::write(&made, "through the mount").expect("written");
        fs::rename(&made, &moved).expect("renamed");
        fs::remove_file(&moved).expect("removed");
    });
    until(&watch, "created", "/docs/c");
    let rest = until(&watch, "removed", "/docs/d");
    let created = |path: &str| (("created").to_owned(), path.to_owned());
    assert!(rest.contains(&created("/docs/d")), "{rest:?}");
    assert!(!rest.contains(&created("/docs/c")), "told once: {rest:?}");
}

/// S-130: of a file only what is about it; `memory:` tells by itself, without inotify.
#[test]
fn s130_a_file_is_watched_by_its_name() {
    if !can_mount() {
        return;
    }
    for source in ["memory:", "local:"] {
        let mounted = Mounted::source(source, LONG);
        let at = |name: &str| mounted.at(name);
        mounted.bounded("writing", || fs::write(at("f"), "1").expect("written"));
        let watch = watching(&mounted, "/f");
        mounted.bounded("working", || {
            fs::write(at("other"), "x").expect("written");
            fs::write(at("f"), "2").expect("written");
            fs::write(at("fresh"), "3").expect("written");
            fs::rename(at("fresh"), at("f")).expect("replaced");
            fs::remove_file(at("f")).expect("removed");
        });
        let told = until(&watch, "created", "/f");
        assert!(told.iter().all(|(_, path)| path == "/f"), "{source}: {told:?}");
        assert!(told.contains(&("modified".to_owned(), "/f".to_owned())), "{source}: {told:?}");
        until(&watch, "removed", "/f");
    }
}

/// S-138: of a server that tells nothing, what is done through the mount is told, each thing once.
#[test]
fn s138_what_is_done_here_is_told_where_the_server_tells_nothing() {
    if !can_mount() {
        return;
    }
    let silent = "notify_change_directory=error:EOPNOTSUPP";
    let mounted = Mounted::source("faulty:memory:", silent);
    let at = |name: &str| mounted.at(name);
    mounted.bounded("making", || fs::create_dir(at("d")).expect("made"));
    let watch = watching(&mounted, "/d");
    mounted.bounded("working", || {
        fs::write(at("d/a"), "1").expect("written");
        fs::rename(at("d/a"), at("d/b")).expect("renamed");
        fs::create_dir(at("d/sub")).expect("made");
        fs::remove_dir(at("d/sub")).expect("removed");
        fs::remove_file(at("d/b")).expect("removed");
        fs::remove_dir(at("d")).expect("removed");
    });
    let mut told = until(&watch, "gone", "/d");
    told.dedup();
    let expected = [
        ("created", "/d/a"),
        ("modified", "/d/a"),
        ("removed", "/d/a"),
        ("created", "/d/b"),
        ("created", "/d/sub"),
        ("removed", "/d/sub"),
        ("removed", "/d/b"),
        ("removed", "/d"),
    ];
    let expected = expected.map(|(kind, path)| (kind.to_owned(), path.to_owned()));
    assert_eq!(told, expected);
}

/// S-132: a watch is nobody's open file: a stop is not busy with it, counts it nowhere and does not
/// wait for it; and over a stop and start it goes on, with one `resync`.
#[test]
fn s132_a_stop_is_not_held_up_and_the_watch_goes_on_after_it() {
    if !can_mount() {
        return;
    }
    for source in ["memory:", "local:"] {
        let mounted = Mounted::source(source, LONG);
        mounted.bounded("making", || fs::create_dir(mounted.at("d")).expect("made"));
        let watch = watching(&mounted, "/d");
        assert_eq!(mounted.count("open_handles"), 0);
        assert_eq!(mounted.count("requests_in_flight"), 0);
        for round in 0..3 {
            mounted.expect(0, &["stop", "t", "--check"]);
            let clock = SystemClock::new();
            mounted.expect(0, &["stop", "t", "--wait", "--if-busy=refuse"]);
            let took = clock.now().since(Moment(0));
            assert!(took < Duration::from_secs(10), "{source}: {took:?}");
            let report = &mounted.status()["last_stop"];
            assert_eq!((&report["result"], &report["cancelled"]), (&"success".into(), &0.into()));
            mounted.start();
            assert_eq!(next(&watch), ("resync".to_owned(), "/d".to_owned()), "{source}");
            let name = format!("after{round}");
            mounted.bounded("writing", || fs::write(mounted.at("d").join(&name), "").expect("ok"));
            // Exactly one: the next word is of what was done then.
            assert_eq!(next(&watch), ("created".to_owned(), format!("/d/{name}")), "{source}");
        }
        // A stop that is taken back has let go of it as well, or has not: it goes on in any case.
        let held = mounted.bounded("opening", || fs::File::create(mounted.at("held")).expect("ok"));
        mounted.expect(0, &["stop", "t", "--no-wait", "--grace", "60s"]);
        mounted.expect(0, &["resume", "t"]);
        drop(held);
        mounted.bounded("writing", || fs::write(mounted.at("d/last"), "").expect("written"));
        until(&watch, "created", "/d/last");
    }
}

/// S-134: the first watch makes the inotify descriptor, the last takes it away; also when there was
/// a stop in between.
#[test]
fn s134_the_last_watcher_ends_the_notification() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::local("");
    fs::create_dir(mounted.backing().join("d")).expect("made");
    assert_eq!(inotify_descriptors(&mounted), 0);
    let mut first = watching(&mounted, "/");
    let mut second = watching(&mounted, "/d");
    assert_eq!(inotify_descriptors(&mounted), 1);
    mounted.stop(0);
    assert_eq!(inotify_descriptors(&mounted), 0, "a stopped device follows nothing");
    mounted.start();
    for watch in [&first, &second] {
        assert_eq!(next(watch).0, "resync");
    }
    first.kill();
    fs::write(mounted.backing().join("d/a"), "").expect("written");
    until(&second, "created", "/d/a");
    assert_eq!(inotify_descriptors(&mounted), 1);
    second.kill();
    wait_until("nobody watches any more", || inotify_descriptors(&mounted) == 0);
}

/// S-135: a reader that is slower than the changes is told that it was, and goes on.
#[test]
fn s135_too_many_changes_are_an_overflow() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::local("");
    let watch = watching(&mounted, "/");
    // The daemon cannot take what the system tells while it is stopped.
    rustix::process::kill_process(mounted.pid(), rustix::process::Signal::STOP).expect("lives");
    let most: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")
        .expect("there")
        .trim()
        .parse()
        .expect("a number");
    let (one, other) = (mounted.backing().join("one"), mounted.backing().join("other"));
    fs::write(&one, "").expect("written");
    for _ in 0..most {
        fs::rename(&one, &other).expect("renamed");
        fs::rename(&other, &one).expect("renamed");
    }
    rustix::process::kill_process(mounted.pid(), rustix::process::Signal::CONT).expect("lives");
    until(&watch, "overflow", "/");
    // Whatever is not told is part of an overflow, as long as there is more than can be told.
    let told = (0..most).find(|at| {
        let name = format!("after{at}");
        fs::write(mounted.backing().join(&name), "").expect("written");
        loop {
            let (kind, path) = next(&watch);
            if kind == "overflow" || path == format!("/{name}") {
                break kind == "created";
            }
        }
    });
    told.expect("it goes on");
}

/// S-136: what is not there cannot be watched; what ceases to be there ends its watch with a last
/// word and 1; the mount's end ends it with 3.
#[test]
fn s136_a_watch_ends_truthfully() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::local("");
    for path in ["/missing", "/missing/deep"] {
        let refused = mounted.expect(1, &["watch", "t", path]);
        assert!(refused.err.contains("No such file or directory"), "{}", refused.err);
    }
    fs::write(mounted.backing().join("f"), "").expect("written");
    let refused = mounted.expect(1, &["watch", "t", "/f/below"]);
    assert!(refused.err.contains("Not a directory"), "{}", refused.err);
    for moved in [false, true] {
        let directory = mounted.backing().join("d");
        fs::create_dir(&directory).expect("made");
        let mut watch = watching(&mounted, "/d");
        match moved {
            true => fs::rename(&directory, mounted.backing().join("e")).expect("moved"),
            false => fs::remove_dir(&directory).expect("removed"),
        }
        until(&watch, "gone", "/d");
        assert_eq!(watch.end(Duration::from_secs(20)).code(), Some(1));
    }
    let mut watch = watching(&mounted, "/");
    mounted.expect(0, &["umount", "t"]);
    assert_eq!(watch.end(Duration::from_secs(20)).code(), Some(3));
}

/// S-131: who is neither root nor the owner nor of the group sees no paths and watches none.
#[test]
fn s131_a_stranger_may_not_watch() {
    if !can_mount() || !is_root() {
        return;
    }
    let mounted = Mounted::memory("");
    let words = mounted.command(&["watch", "t", "/"]);
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    stranger.arg(words.get_program()).args(words.get_args());
    for (key, value) in words.get_envs() {
        match value {
            Some(value) => stranger.env(key, value),
            None => stranger.env_remove(key),
        };
    }
    let output = stranger.stdin(Stdio::null()).output().expect("setpriv is there");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("may not watch"), "{said}");
}

/// A directory that somebody works in stays his while it is watched: names are looked up again, and
/// not torn from under him.
#[test]
fn a_working_directory_outlives_what_is_told_of_it() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::local(LONG);
    fs::create_dir(mounted.backing().join("d")).expect("made");
    let watch = watching(&mounted, "/");
    let mut inside = mounted.client(
        "import os, sys\nos.chdir(sys.argv[1] + '/d')\nprint('inside', flush=True)\n\
         sys.stdin.readline()\nprint(os.path.basename(os.getcwd()), flush=True)\n",
    );
    inside.says("inside");
    let times = fs::metadata(mounted.backing().join("d")).expect("there").permissions();
    fs::set_permissions(mounted.backing().join("d"), times).expect("touched");
    until(&watch, "attributes", "/d");
    fs::rename(mounted.backing().join("d"), mounted.backing().join("e")).expect("moved");
    fs::rename(mounted.backing().join("e"), mounted.backing().join("d")).expect("moved back");
    until(&watch, "removed", "/d");
    until(&watch, "created", "/d");
    inside.go_on();
    inside.says("d");
    inside.finish();
}
