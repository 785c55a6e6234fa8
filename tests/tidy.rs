//! Tidy: the rules of this house that no compiler checks, held by reading the sources.
//!
//! Layers and forbidden imports, words with one home, what a file must say and how long it may be,
//! rules with tests and tests with rules, dependencies with reasons. Each finding has its file,
//! line and cure. Each rule proves itself on violations planted in its own file's tests. A check
//! outside `cargo test` rots (style.md §1), so this is one.

#[path = "tidy/bans.rs"]
mod bans;
#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/lexer.rs"]
mod lexer;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tree.rs"]
mod tree;

use std::path::Path;
use tree::{Finding, Tree};

/// Every rule over one tree, in the order of files and lines.
fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = tree.loose_ends.clone();
    for rule in [layers::check, bans::check, shape::check, rules::check, dependencies::check] {
        rule(tree, &mut findings);
    }
    findings.sort();
    findings
}

#[test]
fn the_house_is_tidy() {
    let tree = Tree::read(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(tree.sources.iter().any(|file| file.path == "src/lib.rs"), "it reads the real sources");
    let findings = check(&tree);
    let text: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "{} findings\n\n{}\n", findings.len(), text.join("\n"));
}

/// The whole of it finds what is planted among what is right, and nothing else.
#[test]
fn a_planted_violation_is_found_with_line_and_cure() {
    let tree = Tree::planted(&[
        ("src/rdbss/gate.rs", "//! The gate.\n\nuse crate::redirectors::memory::Memory;\n"),
        ("src/lib.rs", "//! The map.\npub mod rdbss;\n"),
        ("src/rdbss/mod.rs", "//! The core.\npub mod gate;\n"),
    ]);
    let found = check(&tree).iter().map(Finding::to_string).find(|text| text.contains("gate.rs"));
    assert_eq!(
        found.as_deref(),
        Some(
            "src/rdbss/gate.rs:3: rdbss may not import redirectors \
             (`crate::redirectors::memory::Memory`)\n    \
             cure: the core knows an `Arc<dyn MiniRedirector>`, never which"
        )
    );
}
