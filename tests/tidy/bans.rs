//! Words with one home: what may be written in one place only, or nowhere.

use crate::source::Source;
use crate::tree::{Finding, Tree};

/// How it looks in the source.
enum Sign {
    /// A path that leads there, whichever way it is imported.
    Path(&'static [&'static str]),
    /// These tokens in a row.
    Tokens(&'static [&'static str]),
}

/// Where it is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    /// All Rust.
    Everywhere,
    /// All but tests.
    Production,
    /// All but benches: those measure time, and what we do not use besides.
    NotBenches,
    /// Tests only.
    Tests,
}

struct Ban {
    signs: &'static [Sign],
    scope: Where,
    /// Files, or folders with a slash at the end, where it is at home.
    homes: &'static [&'static str],
    what: &'static str,
    cure: &'static str,
}

const CLOCK: &[&str] = &["src/base/clock.rs"];
const PRINT: &[&str] = &["src/cli/print.rs"];

/// The list. A ban names what to do instead.
const BANS: [Ban; 17] = [
    Ban {
        signs: &[Sign::Path(&["parking_lot"])],
        scope: Where::NotBenches,
        homes: &["src/base/sync/primitives.rs"],
        what: "parking_lot outside its home",
        cure: "use base::sync: its locks have a rank, and the wrong order panics",
    },
    Ban {
        signs: &[
            Sign::Path(&["std", "sync", "Mutex"]),
            Sign::Path(&["std", "sync", "RwLock"]),
            Sign::Path(&["std", "sync", "Condvar"]),
        ],
        scope: Where::Production,
        homes: &["src/base/sync.rs"],
        what: "a lock without a rank",
        cure: "use base::sync: its locks have a rank, and the wrong order panics",
    },
    Ban {
        signs: &[
            Sign::Path(&["std", "thread", "spawn"]),
            Sign::Path(&["std", "thread", "scope"]),
            Sign::Path(&["std", "thread", "Builder"]),
            Sign::Path(&["crossbeam", "thread"]),
            Sign::Path(&["crossbeam", "scope"]),
        ],
        scope: Where::Production,
        homes: &["src/base/threads.rs", "src/base/sync/primitives.rs"],
        what: "a thread made by hand",
        cure: "use base::threads: every thread has a name and a join",
    },
    Ban {
        signs: &[
            Sign::Path(&["std", "time", "Instant", "now"]),
            Sign::Path(&["std", "time", "SystemTime", "now"]),
            Sign::Path(&["jiff", "Timestamp", "now"]),
            Sign::Path(&["jiff", "Zoned", "now"]),
            Sign::Path(&["rustix", "time", "clock_gettime"]),
        ],
        scope: Where::NotBenches,
        homes: CLOCK,
        what: "asks what time it is",
        cure: "take the time as an argument, or hold a base::clock::Clock",
    },
    Ban {
        signs: &[Sign::Tokens(&[".", "elapsed", "(", ")"])],
        scope: Where::Production,
        homes: CLOCK,
        what: "asks what time it is",
        cure: "subtract two `Moment`s of a base::clock::Clock",
    },
    Ban {
        signs: &[
            Sign::Tokens(&["println", "!"]),
            Sign::Tokens(&["print", "!"]),
            Sign::Tokens(&["eprintln", "!"]),
            Sign::Tokens(&["eprint", "!"]),
            Sign::Path(&["std", "io", "stdout"]),
            Sign::Path(&["std", "io", "stderr"]),
        ],
        scope: Where::Production,
        homes: PRINT,
        what: "writes to the terminal",
        cure: "use cli::print, or the log: stdout is the answer and has one writer",
    },
    Ban {
        signs: &[Sign::Path(&["std", "env"])],
        scope: Where::Production,
        homes: &["src/cli/environment.rs"],
        what: "reads the environment",
        cure: "read it in cli/environment.rs and hand it down",
    },
    Ban {
        signs: &[Sign::Path(&["fuser"])],
        scope: Where::Everywhere,
        homes: &["src/front/"],
        what: "fuser outside front/",
        cure: "the core is tested without a kernel: translate in front/translate.rs",
    },
    Ban {
        signs: &[Sign::Tokens(&["unsafe"])],
        scope: Where::Everywhere,
        homes: &["src/front/transport/redirect.rs"],
        what: "unsafe code",
        cure: "use rustix or std; the one exception has its reasons written above it",
    },
    Ban {
        signs: &[
            Sign::Tokens(&[".", "unwrap", "("]),
            Sign::Tokens(&[".", "unwrap_err", "("]),
            Sign::Tokens(&["::", "unwrap", ")"]),
        ],
        scope: Where::Production,
        homes: &[],
        what: "unwrap",
        cure: "return the error, or expect(\"the invariant that makes it impossible\")",
    },
    Ban {
        signs: &[Sign::Path(&["std", "process", "exit"]), Sign::Path(&["std", "process", "abort"])],
        scope: Where::Production,
        homes: &[],
        what: "ends the process from inside",
        cure: "return an exit code to main: an exit runs no destructor and leaves the mount behind",
    },
    Ban {
        signs: &[Sign::Path(&["std", "thread", "sleep"]), Sign::Tokens(&["sleep", "("])],
        scope: Where::Tests,
        homes: &["src/redirectors/faulty/"],
        what: "a test that sleeps",
        cure: "wait for the condition with a bound (common::wait_until), or advance a ManualClock",
    },
    Ban {
        signs: &[
            Sign::Tokens(&["todo", "!"]),
            Sign::Tokens(&["unimplemented", "!"]),
            Sign::Tokens(&["dbg", "!"]),
        ],
        scope: Where::Everywhere,
        homes: &[],
        what: "unfinished code",
        cure: "write it, or do not offer it",
    },
    Ban {
        signs: &[Sign::Tokens(&["#", "[", "ignore"]), Sign::Tokens(&["should_panic"])],
        scope: Where::Everywhere,
        homes: &[],
        what: "a test that is skipped or passes by falling over",
        cure: "assert today's answer, even a wrong one; return the error instead of panicking",
    },
    Ban {
        signs: &[Sign::Path(&["crate", "common"]), Sign::Path(&["tests", "common"])],
        scope: Where::Production,
        homes: &[],
        what: "production code that uses a test's helper",
        cure: "move what is shared into the library, below both",
    },
    Ban {
        signs: &[Sign::Path(&["loom"]), Sign::Path(&["shuttle"])],
        scope: Where::Everywhere,
        homes: &[
            "src/base/sync/",
            "tests/checkers/",
            "tests/loom_gate.rs",
            "tests/loom_queue.rs",
            "tests/loom_context.rs",
            "tests/loom_mup.rs",
            "tests/shuttle_control.rs",
            "tests/shuttle_objects.rs",
            "tests/shuttle_mup.rs",
        ],
        what: "a model checker outside its home",
        cure: "use base::sync and base::threads: they are the checker's when one looks",
    },
    Ban {
        signs: &[Sign::Path(&["std", "process", "Command", "new"])],
        scope: Where::Production,
        homes: &["src/base/programs.rs", "src/cli/daemon.rs"],
        what: "starts a program with the whole environment",
        cure: "use base::programs::program: a helper is not the service, and must not find \
               NOTIFY_SOCKET",
    },
];

/// Words of a comment that promise work.
const PROMISES: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), "HACK"];

/// Checks every file.
pub fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in &tree.sources {
        for ban in &BANS {
            banned(file, ban, findings);
        }
        default_arms(file, findings);
        for line in &file.stray_test_conditions {
            findings.push(Finding::new(
                &file.path,
                *line,
                "production code that is different under test",
                "a test double is a Clock, a mini-redirector or an Observer; only test modules are \
                 conditional",
            ));
        }
        for comment in &file.comments {
            promises(&file.path, comment.line, &comment.text, findings);
        }
    }
    for text in &tree.texts {
        for (at, line) in text.lines.iter().enumerate() {
            promises(&text.path, at + 1, line, findings);
        }
    }
}

fn banned(file: &Source, ban: &Ban, findings: &mut Vec<Finding>) {
    let at_home = |home: &&str| match home.strip_suffix('/') {
        // `front/` is `front.rs` too.
        Some(folder) => file.path.starts_with(*home) || file.path == format!("{folder}.rs"),
        None => file.path == **home,
    };
    if ban.homes.iter().any(at_home) {
        return;
    }
    let mut lines = Vec::new();
    for sign in ban.signs {
        match sign {
            Sign::Path(path) => {
                let leading = file.paths.iter().filter(|used| used.leads_to(path));
                lines.extend(leading.map(|used| used.line));
            }
            Sign::Tokens(tokens) => {
                let standing = (0..file.tokens.len()).filter(|at| file.stands(*at, tokens));
                lines.extend(standing.map(|at| file.tokens[at].line));
            }
        }
    }
    lines.sort_unstable();
    lines.dedup();
    for line in lines {
        let in_scope = match ban.scope {
            Where::Everywhere => true,
            Where::NotBenches => !file.path.starts_with("benches/"),
            Where::Production => !file.is_test(line),
            Where::Tests => file.is_test(line) && !file.path.starts_with("benches/"),
        };
        if in_scope {
            findings.push(Finding::new(&file.path, line, ban.what, ban.cure));
        }
    }
}

/// Where a new state, event or operation must choose: the whole file, or these functions of it.
const BY_NAME: [(&str, &[&str]); 5] = [
    ("src/rdbss/lifecycle.rs", &[]),
    ("src/rdbss/gate.rs", &[]),
    ("src/mup/handover.rs", &["step"]),
    ("src/rdbss/operation.rs", &["class"]),
    ("src/rdbss/dispatch.rs", &["handle", "subject"]),
];

/// The machine, the gate and the gate table answer for everything by name.
fn default_arms(file: &Source, findings: &mut Vec<Finding>) {
    let Some((_, functions)) = BY_NAME.iter().find(|(path, _)| *path == file.path) else { return };
    let lines: Vec<_> = {
        let named = file.functions.iter().filter(|at| functions.contains(&at.name.as_str()));
        named.map(|function| function.lines.clone()).collect()
    };
    if lines.len() < functions.len() {
        findings.push(Finding::new(
            &file.path,
            1,
            format!("not all of {functions:?} are here"),
            "tell tests/tidy/bans.rs where the table is now",
        ));
    }
    for at in 0..file.tokens.len() {
        let line = file.tokens[at].line;
        let held = functions.is_empty() || lines.iter().any(|lines| lines.contains(&line));
        let default = file.stands(at, &["_", "=>"]) || file.stands(at, &["_", "if"]);
        // In the machine not even a part of a pattern is left open.
        let open = file.path == BY_NAME[0].0 && file.is_word(at, "_");
        if held && (default || open) && !file.is_test(line) {
            findings.push(Finding::new(
                &file.path,
                line,
                "a `_` arm where everything has its name",
                "name the states, events or operations: a new one must choose",
            ));
        }
    }
}

fn promises(path: &str, line: usize, text: &str, findings: &mut Vec<Finding>) {
    let mut words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    if let Some(word) = words.find(|word| PROMISES.contains(word)) {
        findings.push(Finding::new(
            path,
            line,
            format!("{word}: a promise nobody keeps"),
            "do it now, or say what is true today",
        ));
    }
}

fn found(path: &str, text: &str) -> Vec<(usize, String)> {
    let mut findings = Vec::new();
    check(&Tree::planted(&[(path, text)]), &mut findings);
    findings.into_iter().map(|found| (found.line, found.what)).collect()
}

#[test]
fn every_ban_bites() {
    for (text, what) in [
        ("use parking_lot::Mutex;", BANS[0].what),
        ("extern crate parking_lot;", BANS[0].what),
        ("use std::sync::{Arc, Mutex};", BANS[1].what),
        ("use std::sync; fn f() { sync::Condvar::new() }", BANS[1].what),
        ("use std::thread; fn f() { thread::spawn(g); }", BANS[2].what),
        ("fn f() { std::thread::Builder::new() }", BANS[2].what),
        ("use std::thread::*;", BANS[2].what),
        ("use std::time::Instant as I; fn f() { I::now(); }", BANS[3].what),
        ("use std::time; fn f() { time::SystemTime::now(); }", BANS[3].what),
        ("fn f(i: I) { i.elapsed(); }", BANS[4].what),
        ("fn f() { println!(\"x\"); }", BANS[5].what),
        ("use std::io; fn f() { io::stdout().flush(); }", BANS[5].what),
        ("fn f() { std::env::var(\"X\"); }", BANS[6].what),
        ("use fuser::Session;", BANS[7].what),
        ("fn f() { unsafe { g() } }", BANS[8].what),
        ("fn f() { g().unwrap(); }", BANS[9].what),
        ("fn f() { g().map(Option::unwrap) }", BANS[9].what),
        ("fn f() { std::process::exit(1) }", BANS[10].what),
        ("fn f() { todo!() }", BANS[12].what),
        ("#[ignore = \"slow\"] fn f() {}", BANS[13].what),
        ("#[should_panic] fn f() {}", BANS[13].what),
        ("use tests::common::Host;", BANS[14].what),
        ("#[cfg(loom)] use loom::sync::Mutex;", BANS[15].what),
        ("fn f() { shuttle::thread::yield_now() }", BANS[15].what),
        ("use std::process::Command; fn f() { Command::new(\"sh\"); }", BANS[16].what),
        ("use std::process; fn f() { process::Command::new(\"sh\"); }", BANS[16].what),
    ] {
        let lines: Vec<(usize, String)> = found("src/rdbss/x.rs", text);
        assert!(lines.contains(&(1, what.to_owned())), "{text}: {lines:?}");
    }
    let sleeping = "#[cfg(test)]\nmod tests {\nfn f() { std::thread::sleep(d); }\n}";
    assert_eq!(found("src/rdbss/x.rs", sleeping), [(3, BANS[11].what.to_owned())]);
    assert_eq!(found("tests/x.rs", "fn f() { sleep(1) }"), [(1, BANS[11].what.to_owned())]);
}

#[test]
fn a_home_is_a_home_and_a_test_may_more() {
    for (path, text) in [
        ("src/base/sync/primitives.rs", "use parking_lot::Mutex;"),
        ("src/base/sync/checkers.rs", "use loom::sync::Mutex; use shuttle::thread;"),
        ("src/rdbss/x.rs", "#[cfg(not(any(loom, shuttle)))] fn f() {}"),
        ("src/base/threads.rs", "use std::thread::Builder;"),
        ("src/base/clock.rs", "fn f() { std::time::Instant::now().elapsed(); }"),
        ("src/cli/print.rs", "fn f() { println!(\"x\"); std::io::stdout(); }"),
        ("src/front/adapter/mod.rs", "use fuser::Filesystem;"),
        ("src/cli/environment.rs", "use std::env;"),
        ("src/base/programs.rs", "fn f() { std::process::Command::new(\"sh\"); }"),
        ("src/rdbss/x.rs", "use std::process::Command; fn f(command: Command) {}"),
        ("tests/x.rs", "use std::sync::Mutex; fn f() { g().unwrap(); std::thread::spawn(h); }"),
        ("benches/x.rs", "use parking_lot::RwLock; fn f() { std::time::Instant::now(); }"),
        ("src/rdbss/x.rs", "#[cfg(test)]\nmod tests { fn f() { g().unwrap(); } }"),
        ("src/rdbss/x.rs", "// println!(\"a\"); unsafe\nconst S: &str = \"unsafe todo!()\";"),
        ("src/rdbss/x.rs", "fn f() { env!(\"CARGO_PKG_VERSION\"); env_logger::init(); }"),
        ("src/rdbss/x.rs", "use crate::base::sync::Mutex; fn f() { Mutex::new(1) }"),
        ("src/rdbss/x.rs", "fn f() { unwrap_or(1); x.unwrap_or_else(g); }"),
    ] {
        assert_eq!(found(path, text), [], "{path}: {text}");
    }
}

#[test]
fn the_tables_have_no_default_arm() {
    let what = || "a `_` arm where everything has its name".to_owned();
    let text = "fn f() { match s { A => 1, _ => 2 } }\n\
                #[cfg(test)]\nmod t { fn g() { match s { _ => 1 } } }";
    assert_eq!(found("src/rdbss/lifecycle.rs", text), [(1, what())]);
    assert_eq!(found("src/rdbss/gate.rs", text), [(1, what())]);
    assert_eq!(found("src/rdbss/fsp.rs", text), []);
    let parts = "fn f() { match s { (A, _) => 1, (B, C) => 2 } }";
    assert_eq!(found("src/rdbss/lifecycle.rs", parts), [(1, what())]);
    assert_eq!(found("src/rdbss/gate.rs", parts), []);
    let guarded = "fn f() { match s { _ if a() => 1, B | _ => 2 } }";
    assert_eq!(found("src/rdbss/gate.rs", guarded).len(), 2);
    let named = "fn class() {\nmatch s { _ => 1 }\n}\nfn word() { match s { _ => 1 } }";
    assert_eq!(found("src/rdbss/operation.rs", named), [(2, what())]);
    assert_eq!(found("src/rdbss/dispatch.rs", "fn handle() {}\nfn subject() {}"), []);
    assert_eq!(found("src/rdbss/dispatch.rs", "fn handle() {}").len(), 1, "it has moved");
}

#[test]
fn promises_are_found_in_comments_and_documents() {
    let promise = format!("// {}: later\nfn f() {{}}\n/* {} */", PROMISES[0], PROMISES[1]);
    let lines: Vec<usize> =
        found("src/base/x.rs", &promise).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [1, 3]);
    let documents = found("docs/X.md", &format!("fine\n{} this", PROMISES[2]));
    assert_eq!(documents.len(), 1);
    assert_eq!(found("src/base/x.rs", "// the todos of RDBSS, mktemp -d x.XXXXXX\n"), []);
    assert_eq!(found("src/base/x.rs", "fn f() { if cfg!(test) {} }").len(), 1);
}
