//! What needs no daemon: wrong words, help, completions, manual pages, nobody there.

use assert_cmd::Command;
use minirdr::app::unsent::store::Store;
use minirdr::base::unsent::UnsentEntry;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// The program with a runtime directory of its own, and a bound.
pub fn minirdr(runtime: &Path) -> Command {
    let mut command = Command::cargo_bin("minirdr").expect("cargo has built it");
    command.env("XDG_RUNTIME_DIR", runtime).env_remove("MINIRDR_LOG");
    command.env("XDG_STATE_HOME", runtime.join("state"));
    command.timeout(Duration::from_secs(60));
    command
}

/// Exit code, stdout, stderr.
pub fn run(runtime: &Path, words: &[&str]) -> (i32, String, String) {
    let output = minirdr(runtime).args(words).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("its output is text");
    let code = output.status.code().expect("it ends by itself, within its bound");
    (code, text(output.stdout), text(output.stderr))
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("room in /tmp")
}

#[test]
fn wrong_words_are_one_line_and_exit_2() {
    let runtime = directory();
    let mount_point = directory();
    let place = mount_point.path().to_str().expect("plain path");
    let cases: &[(&[&str], &str)] = &[
        (&[], "no verb"),
        (&["frob"], "there is no verb 'frob'"),
        (&["stop"], "<NAME>"),
        (&["stop", "bk", "--wiat"], "--wait"),
        (&["stop", "bk", "--deadline", "soon"], "30s, 5m, 1h30m"),
        (&["handles", "bk", "-o", "SIZE"], "HOLDER, USER"),
        (&["mount", "memory:"], "<DIR>"),
        (&["mount", "memory", place], "memory:"),
        (&["mount", "sftp://x/y", place], "unknown scheme"),
        (&["mount", "memory:", place, "-o", "on_deadline=x"], "resume, stay, cancel or abort"),
        (&["mount", "memory:", place, "-o", "remount"], "cannot be remounted"),
        (&["mount", "memory:", place, "--name", "a/b"], "cannot name a mount"),
    ];
    for (words, part) in cases {
        let (code, out, err) = run(runtime.path(), words);
        assert_eq!(code, 2, "{words:?}: {err}");
        assert!(out.is_empty(), "{words:?}: {out}");
        assert!(err.starts_with("minirdr: ") && err.contains(part), "{words:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{words:?}: {err}");
    }
}

/// Bad input that only the system can find: exit 1, one line, nothing left behind.
#[test]
fn what_cannot_be_mounted_is_one_line_and_exit_1() {
    let runtime = directory();
    let mount_point = directory();
    let place = mount_point.path().to_str().expect("plain path");
    let file = mount_point.path().join("file");
    std::fs::write(&file, "").expect("room in /tmp");
    let file = file.to_str().expect("plain path");
    let local_file = format!("local:{file}");
    let cases: &[(&[&str], &str)] = &[
        (&["mount", "memory:", "/nonexistent/x"], "No such file or directory"),
        (&["mount", "memory:", file], "not a directory"),
        (&["mount", "memory:", "/proc"], "in use: a file system of type proc is there"),
        (&["mount", "local:/nonexistent", place], "No such file or directory"),
        (&["mount", &local_file, place], "not a directory"),
    ];
    for (words, part) in cases {
        let (code, out, err) = run(runtime.path(), words);
        assert_eq!(code, 1, "{words:?}: {err}");
        assert!(out.is_empty(), "{words:?}: {out}");
        assert!(err.starts_with("minirdr: ") && err.contains(part), "{words:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{words:?}: {err}");
    }
    let left = std::fs::read_dir(runtime.path()).expect("it is there").count();
    assert_eq!(left, 0, "no socket, no directory for one");
}

#[test]
fn with_json_an_error_is_an_object_besides() {
    let runtime = directory();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["stop", "--json", "--frob"], 2, "usage"),
        (&["status", "nobody", "--json"], 3, "not_running"),
        (&["mount", "memory:", "/nonexistent", "--json"], 1, "failed"),
    ];
    for &(words, expected, word) in cases {
        let (code, out, err) = run(runtime.path(), words);
        assert_eq!(code, expected, "{words:?}: {err}");
        let value: serde_json::Value = serde_json::from_str(&out).expect("one object");
        assert_eq!(value["schema"], "minirdr/1");
        assert_eq!(value["error"]["code"], word);
        assert_eq!(value["exit_code"], expected);
        assert!(err.starts_with("minirdr: "), "{err}");
    }
}

#[test]
fn a_mount_that_is_not_there_is_3() {
    let runtime = directory();
    for verb in ["status", "handles", "requests", "stop", "start", "pause", "resume", "wait"] {
        let (code, out, err) = run(runtime.path(), &[verb, "nobody"]);
        assert_eq!((code, out.as_str()), (3, ""), "{verb}: {err}");
        assert!(err.contains("no mount named nobody"), "{verb}: {err}");
    }
    let (code, _, err) = run(runtime.path(), &["umount", "/tmp/nowhere"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("nothing of minirdr is mounted on /tmp/nowhere"), "{err}");
    let (code, _, err) = run(runtime.path(), &["status", "/proc"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("of type proc"), "{err}");
}

/// A daemon that was killed leaves its socket: its state is unknown, and the doctor finds it.
#[test]
fn a_daemon_that_is_gone_is_4() {
    let runtime = directory();
    let sockets = runtime.path().join("minirdr");
    std::fs::create_dir(&sockets).expect("room in /tmp");
    drop(UnixListener::bind(sockets.join("bk.sock")).expect("a short path"));
    for verb in ["status", "stop", "umount", "events"] {
        let (code, _, err) = run(runtime.path(), &[verb, "bk"]);
        assert_eq!(code, 4, "{verb}: {err}");
        assert!(err.contains("its daemon is gone"), "{verb}: {err}");
    }
    let (code, out, err) = run(runtime.path(), &["list"]);
    assert_eq!((code, out.as_str()), (0, "0 mounts\n"));
    assert!(err.contains("bk: its daemon is gone"), "{err}");
    let (_, out, _) = run(runtime.path(), &["doctor"]);
    assert!(out.contains("stale socket") && out.contains("what to do:"), "{out}");
}

/// Something that closes the connection without a word is no daemon of ours: unknown, not a hang.
#[test]
fn a_daemon_that_breaks_off_is_4() {
    let runtime = directory();
    let sockets = runtime.path().join("minirdr");
    std::fs::create_dir(&sockets).expect("room in /tmp");
    let listener = UnixListener::bind(sockets.join("bk.sock")).expect("a short path");
    std::thread::scope(|scope| {
        scope.spawn(|| drop(listener.accept()));
        let (code, _, err) = run(runtime.path(), &["status", "bk"]);
        assert_eq!(code, 4, "{err}");
        assert!(err.contains("went away before it answered"), "{err}");
    });
}

#[test]
fn help_and_version_go_to_stdout() {
    let runtime = directory();
    let (code, out, _) = run(runtime.path(), &["--help"]);
    assert_eq!(code, 0);
    for verb in ["mount", "stop", "watch", "umount", "provider", "demo", "install-helpers"] {
        assert!(out.contains(verb), "{out}");
    }
    let (code, out, _) = run(runtime.path(), &["--version"]);
    assert_eq!((code, out.as_str()), (0, concat!("minirdr ", env!("CARGO_PKG_VERSION"), "\n")));
}

#[test]
fn completions_of_every_shell_know_the_verbs() {
    let runtime = directory();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, err) = run(runtime.path(), &["completions", shell]);
        assert_eq!((code, err.as_str()), (0, ""), "{shell}");
        assert!(out.contains("umount") && out.contains("on-deadline"), "{shell}");
        assert!(!out.contains("ready-on-stdout"), "{shell} shows a hidden flag");
    }
    let (_, script, _) = run(runtime.path(), &["completions", "bash"]);
    Command::new("bash").arg("-n").write_stdin(script).assert().success();
}

#[test]
fn manual_pages_have_no_fault_man_would_find() {
    let runtime = directory();
    let pages = directory();
    let into = pages.path().join("man1");
    let (code, out, err) = run(runtime.path(), &["man", into.to_str().expect("plain path")]);
    assert_eq!(code, 0, "{err}");
    let mut seen = 0;
    for entry in std::fs::read_dir(&into).expect("made") {
        let path = entry.expect("readable").path();
        let output = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(&path)
            .output()
            .expect("man is installed");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && err.is_empty(), "{}: {err}", path.display());
        seen += 1;
    }
    assert_eq!(out, format!("{seen} pages in {}\n", into.display()));
    assert!(seen > 10, "a page for every verb");
    let (code, _, err) = run(runtime.path(), &["man", "/proc/nowhere"]);
    assert_eq!(code, 1, "{err}");
}

/// A reader that goes away (`| head -1`) is no error, and nothing is said about it.
#[test]
fn a_closed_stdout_is_quiet() {
    let runtime = directory();
    let script = format!(
        "{} completions bash | head -c 10 >/dev/null; exit ${{PIPESTATUS[0]}}",
        assert_cmd::cargo::cargo_bin("minirdr").display()
    );
    let mut command = Command::new("bash");
    let output = command.args(["-c", &script]).env("XDG_RUNTIME_DIR", runtime.path()).output();
    let output = output.expect("bash is installed");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A full disk is: the answer was not given.
#[test]
fn a_stdout_that_cannot_be_written_is_1() {
    let runtime = directory();
    let program = assert_cmd::cargo::cargo_bin("minirdr");
    let script = format!("{} completions bash >/dev/full", program.display());
    let mut command = Command::new("sh");
    let output = command.args(["-c", &script]).env("XDG_RUNTIME_DIR", runtime.path()).output();
    let output = output.expect("sh is installed");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("No space left on device"), "{err}");
}

/// S-52: what a daemon that is gone has kept can be listed and discarded; to replay it, it must be
/// mounted again.
#[test]
fn what_is_unsent_outlives_its_daemon() {
    let runtime = directory();
    let state_dir = runtime.path().join("state/minirdr/bk");
    let (code, _, err) = run(runtime.path(), &["unsent", "bk"]);
    assert_eq!(code, 3, "nothing was ever kept: {err}");
    let store = Store::make(&state_dir).expect("room in /tmp");
    let mut entry = UnsentEntry { path: b"notes.md".to_vec(), bytes: 5, ..UnsentEntry::default() };
    store.add(&mut entry, Some(b"bytes")).expect("room in /tmp");
    let (code, out, _) = run(runtime.path(), &["unsent", "bk"]);
    assert_eq!((code, out.lines().next()), (0, Some("bk: 1 unsent file, 5 B")));
    let (code, _, err) = run(runtime.path(), &["unsent", "bk", "--replay"]);
    assert_eq!(code, 3);
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.contains("mounted again"), "{err}");
    let (code, _, err) = run(runtime.path(), &["unsent", "bk", "--discard"]);
    assert_eq!(code, 1, "somebody holds it: {err}");
    assert!(err.contains("in use"), "{err}");
    drop(store);
    let (code, out, _) = run(runtime.path(), &["unsent", "bk", "--discard"]);
    assert_eq!((code, out.as_str()), (0, "bk: 1 write, 5 B, discarded\n"));
    let (code, out, _) = run(runtime.path(), &["unsent", "bk"]);
    assert_eq!((code, out.as_str()), (0, "bk: nothing unsent\n"));
    let (code, _, err) = run(runtime.path(), &["unsent", "../bk"]);
    assert_eq!(code, 3, "no way out of the state directory: {err}");
}
