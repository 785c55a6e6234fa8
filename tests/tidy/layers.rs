//! Who may import whom (design README, style.md §2.1 and §2.2): the table of `src/lib.rs`,
//! enforced. In a single crate nothing else does.

use crate::source::Source;
use crate::tree::{Finding, Tree};

/// The layers, lowest first, and what each may import besides itself.
const LAYERS: [(&str, &[&str]); 9] = [
    ("base", &[]),
    ("mrx", &["base"]),
    ("redirectors", &["base", "mrx"]),
    ("mup", &["base"]),
    ("rdbss", &["base", "mrx"]),
    ("front", &["base", "mup", "rdbss"]),
    ("mgmt", &["base"]),
    ("app", &["base", "mrx", "redirectors", "mup", "rdbss", "front", "mgmt"]),
    ("cli", &["base", "mgmt", "app"]),
];

/// Modules beside the mini-redirectors that all of them share.
const SHARED_BY_REDIRECTORS: [&str; 4] = ["changes", "options", "parked", "test_support"];

/// Why an import must never exist, and what to do instead (style.md §2.2).
fn cure(from: &str, to: &str) -> &'static str {
    match (from, to) {
        ("rdbss", "redirectors") => "the core knows an `Arc<dyn MiniRedirector>`, never which",
        ("redirectors", "rdbss") => "a mini-redirector sees `mrx` and `base` only",
        ("mgmt", _) => "the plane acts through `mgmt::control::Control`, which `app` implements",
        ("rdbss", "mgmt") => "announce through `rdbss::notice::Observer`; `app` makes events of it",
        ("mup", _) => "the router asks a `Provider`; `app` wraps a device as one",
        ("front", "mrx") => {
            "name it through `rdbss::operation::operand`: nothing may pass the gate uncounted"
        }
        (_, "app" | "cli") => "turn it round: the upper layer hands down what is needed",
        ("cli", _) => "ask the daemon over the control socket, or let `app` offer it",
        _ => "move what is shared down, or hand it in from above; the table is in src/lib.rs",
    }
}

/// Checks every file of the library.
pub fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    table_in_lib(tree, findings);
    for file in tree.sources.iter().filter(|file| file.path.starts_with("src/")) {
        let inside = &file.path["src/".len()..];
        let layer = inside.split(['/', '.']).next().unwrap_or(inside);
        match layer {
            "lib" => {}
            "main" => imports(file, "main", &["cli"], findings),
            _ => match LAYERS.iter().find(|(name, _)| *name == layer) {
                Some((name, allowed)) => imports(file, name, allowed, findings),
                None => findings.push(Finding::new(
                    &file.path,
                    1,
                    format!("`{layer}` is no layer"),
                    "move it into one of the layers of src/lib.rs",
                )),
            },
        }
        redirectors_apart(file, findings);
        operations_start_nothing(file, findings);
    }
}

fn imports(file: &Source, layer: &str, allowed: &[&str], findings: &mut Vec<Finding>) {
    for path in file.paths.iter().filter(|path| path.segments[0] == "crate") {
        let Some(target) = path.segments.get(1).map(String::as_str) else { continue };
        let known = target == "*" || LAYERS.iter().any(|(name, _)| *name == target);
        if known && target != layer && !allowed.contains(&target) {
            findings.push(Finding::new(
                &file.path,
                path.line,
                format!("{layer} may not import {target} (`{}`)", path.segments.join("::")),
                cure(layer, target),
            ));
        }
    }
}

/// One mini-redirector never sees another: that is what makes each of them pluggable.
fn redirectors_apart(file: &Source, findings: &mut Vec<Finding>) {
    let Some(inside) = file.path.strip_prefix("src/redirectors/") else { return };
    let own = inside.split(['/', '.']).next().unwrap_or(inside);
    for path in &file.paths {
        if !path.leads_to(&["crate", "redirectors"]) {
            continue;
        }
        let target = path.segments.get(2).map_or("*", String::as_str);
        let allowed = target == own || SHARED_BY_REDIRECTORS.contains(&target);
        if own != "mod" && !allowed {
            findings.push(Finding::new(
                &file.path,
                path.line,
                format!("mini-redirector {own} imports {target}"),
                "take an `Arc<dyn MiniRedirector>`; which one is `app`'s choice",
            ));
        }
    }
}

/// An operation asks the gate; it never starts or stops anything.
fn operations_start_nothing(file: &Source, findings: &mut Vec<Finding>) {
    if !file.path.starts_with("src/rdbss/ops/") {
        return;
    }
    for driver in ["startstop", "start_order", "stop_order"] {
        for path in file.paths.iter().filter(|path| path.leads_to(&["crate", "rdbss", driver])) {
            findings.push(Finding::new(
                &file.path,
                path.line,
                format!("an operation imports {driver}"),
                "an operation never starts or stops anything: let it end with its status",
            ));
        }
    }
}

/// The table people read is the table this test holds.
fn table_in_lib(tree: &Tree, findings: &mut Vec<Finding>) {
    let Some(lib) = tree.sources.iter().find(|file| file.path == "src/lib.rs") else { return };
    let row = |line: &str| -> Option<(String, String)> {
        let cells: Vec<&str> = line.strip_prefix("//! |")?.split('|').map(str::trim).collect();
        // A layer that is not there yet is named without a link.
        let name = cells.first()?.trim_matches(['[', ']']).strip_prefix('`')?.strip_suffix('`')?;
        Some((name.to_owned(), cells.get(2)?.to_string()))
    };
    let rows: Vec<(usize, (String, String))> = lib
        .lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| row(line).map(|row| (at + 1, row)))
        .collect();
    for (name, allowed) in LAYERS {
        let wanted = match name {
            "base" => "nothing of ours".to_owned(),
            "app" => "all above".to_owned(),
            _ => allowed.join(", "),
        };
        let found = rows.iter().find(|(_, (row, _))| row == name);
        if found.is_none_or(|(_, (_, written))| *written != wanted) {
            findings.push(Finding::new(
                &lib.path,
                found.map_or(1, |(line, _)| *line),
                format!("the table does not say that {name} may import: {wanted}"),
                "make src/lib.rs and tests/tidy/layers.rs say the same",
            ));
        }
    }
    for (line, (name, _)) in &rows {
        if !LAYERS.iter().any(|(layer, _)| layer == name) {
            findings.push(Finding::new(
                &lib.path,
                *line,
                format!("the table names {name}, which tests/tidy/layers.rs does not"),
                "make both say the same",
            ));
        }
    }
}

fn found(files: &[(&str, &str)]) -> Vec<(String, usize)> {
    let mut findings = Vec::new();
    check(&Tree::planted(files), &mut findings);
    findings.into_iter().map(|found| (found.path, found.line)).collect()
}

#[test]
fn every_forbidden_import_is_found() {
    for (path, text) in [
        ("src/base/a.rs", "use crate::mrx::request::Lock;"),
        ("src/mrx/a.rs", "fn f() { crate::rdbss::gate::Gate::new(); }"),
        ("src/redirectors/memory.rs", "use crate::{base::ids, rdbss::device};"),
        ("src/redirectors/memory.rs", "use super::local::Local;"),
        ("src/redirectors/faulty/plan.rs", "use crate::redirectors::memory::Memory;"),
        ("src/redirectors/faulty/plan.rs", "use super::super::memory::Memory;"),
        ("src/mup/router.rs", "use crate::rdbss::device::Device;"),
        ("src/mup/router.rs", "use crate::mrx::request::Lock;"),
        ("src/rdbss/a.rs", "use crate::redirectors::memory::Memory;"),
        ("src/rdbss/a.rs", "use crate::mgmt::control::Control;"),
        ("src/rdbss/objects/a.rs", "use super::super::super::front::session;"),
        ("src/rdbss/ops/data.rs", "use crate::rdbss::startstop::Driver;"),
        ("src/rdbss/ops/data.rs", "use super::super::stop_order;"),
        ("src/front/session.rs", "use crate::mrx::calldown::MiniRedirector;"),
        ("src/front/session.rs", "use crate::mgmt::proto;"),
        ("src/mgmt/server.rs", "use crate::rdbss::device::Device;"),
        ("src/app/a.rs", "use crate::cli::args::Args;"),
        ("src/cli/run.rs", "use crate::front::session;"),
        ("src/cli/run.rs", "use crate::*;"),
        ("src/main.rs", "use minirdr::app::run;"),
        ("src/extra/a.rs", ""),
    ] {
        assert_eq!(found(&[(path, text)]), [(path.to_owned(), 1)], "{path}: {text}");
    }
}

#[test]
fn allowed_imports_are_left_alone() {
    for (path, text) in [
        ("src/base/a.rs", "use crate::base::ids; use super::clock; use std::sync::Arc;"),
        ("src/redirectors/mod.rs", "pub mod memory; pub use self::memory::Memory;"),
        ("src/redirectors/local/a.rs", "use crate::redirectors::options::X; use super::fds::Fds;"),
        ("src/rdbss/ops/data.rs", "use crate::rdbss::gate; use crate::mrx::low_io;"),
        ("src/rdbss/startstop.rs", "use crate::rdbss::stop_order;"),
        ("src/front/a.rs", "// crate::mrx\nuse crate::rdbss::operation::operand::Lock;"),
        ("src/app.rs", "use crate::{front, rdbss, redirectors, mgmt, mup, mrx, base};"),
        ("src/cli/run.rs", "use crate::app; const S: &str = \"crate::front::session\";"),
        ("src/main.rs", "fn main() { minirdr::cli::run() }"),
    ] {
        assert_eq!(found(&[(path, text)]), [], "{path}: {text}");
    }
}

#[test]
fn a_table_that_says_otherwise_is_found() {
    let rows = LAYERS.map(|(name, allowed)| match name {
        "base" => "//! | [`base`] | x | nothing of ours |\n".to_owned(),
        "app" => "//! | [`app`] | x | all above |\n".to_owned(),
        _ => format!("//! | [`{name}`] | x | {} |\n", allowed.join(", ")),
    });
    let good = rows.concat();
    assert_eq!(found(&[("src/lib.rs", &good)]), []);
    let wider = good.replace("[`mgmt`] | x | base |", "[`mgmt`] | x | base, rdbss |");
    assert_eq!(found(&[("src/lib.rs", &wider)]), [("src/lib.rs".to_owned(), 7)]);
    let longer = format!("{good}//! | [`other`] | x | base |\n");
    assert_eq!(found(&[("src/lib.rs", &longer)]), [("src/lib.rs".to_owned(), 10)]);
    let shorter = good.replace("//! | [`mup`] | x | base |\n", "");
    assert_eq!(found(&[("src/lib.rs", &shorter)]), [("src/lib.rs".to_owned(), 1)]);
}
