//! Every dependency has its line in `docs/DEPENDENCIES.md`, and every one is used.

use crate::tree::{Finding, Tree};

const DOCUMENT: &str = "docs/DEPENDENCIES.md";
const MANIFEST: &str = "Cargo.toml";

struct Dependency {
    name: String,
    line: usize,
}

/// Checks manifest, document and use.
pub fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let Some(manifest) = tree.text(MANIFEST) else { return };
    let dependencies = dependencies(&manifest.lines);
    let rows: Vec<(usize, &str)> = tree
        .text(DOCUMENT)
        .map(|document| document.lines.iter().enumerate().filter_map(row).collect())
        .unwrap_or_default();
    for dependency in &dependencies {
        if !rows.iter().any(|(_, name)| *name == dependency.name) {
            findings.push(Finding::new(
                MANIFEST,
                dependency.line,
                format!("{} has no line in {DOCUMENT}", dependency.name),
                format!("say there what it is for and what was weighed: | `{}` |", dependency.name),
            ));
        }
        if !is_used(tree, &dependency.name) {
            findings.push(Finding::new(
                MANIFEST,
                dependency.line,
                format!("{} is used nowhere", dependency.name),
                "delete it",
            ));
        }
    }
    for (line, name) in rows {
        if !dependencies.iter().any(|dependency| dependency.name == name) {
            findings.push(Finding::new(
                DOCUMENT,
                line,
                format!("{name} is no dependency"),
                "delete the line",
            ));
        }
    }
}

/// Names below every `[…dependencies]` heading, and of `[dependencies.name]`.
fn dependencies(lines: &[String]) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut inside = false;
    for (at, line) in lines.iter().enumerate() {
        let mut push = |name: &str| {
            found.push(Dependency { name: name.trim_matches('"').to_owned(), line: at + 1 });
        };
        if let Some(heading) = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        {
            inside = heading.ends_with("dependencies");
            if let Some((_, name)) = heading.split_once("dependencies.") {
                push(name);
            }
        } else if inside
            && !line.trim_start().starts_with('#')
            && let Some((name, _)) = line.split_once('=')
        {
            push(name.trim().split('.').next().unwrap_or(name));
        }
    }
    found
}

/// The name a table row of the document is about.
fn row((at, line): (usize, &String)) -> Option<(usize, &str)> {
    let (name, _) = line.strip_prefix("| `")?.split_once('`')?;
    Some((at + 1, name))
}

/// Used is named in a path: that a condition asks for `cfg(loom)` uses nothing of it.
fn is_used(tree: &Tree, name: &str) -> bool {
    let name = name.replace('-', "_");
    tree.sources.iter().any(|file| {
        (0..file.tokens.len()).any(|at| file.is_word(at, &name) && file.is_mark(at + 1, "::"))
    })
}

#[test]
fn manifest_and_document_agree() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nlog = \"0.4\"\n# why\n\
                    clap_x = { version = \"4\" }\n[dev-dependencies]\nproptest.workspace = true\n\
                    [dependencies.serde-json]\nversion = \"1\"\n\
                    [target.'cfg(x)'.dependencies]\nloom = \"0.7\"\n\
                    [target.'cfg(x)'.dev-dependencies.shuttle]\nversion = \"0.9\"\n";
    let document = "| crate | for | weighed |\n| `log` | a | b |\n| `gone` | a | b |\n\
                    | `clap_x` | a | b |\n| `loom` | a | b |\n";
    let source = "use log::info; use proptest::prelude; use serde_json::Value;\n\
                  #[cfg(loom)] mod a; #[cfg(shuttle)] use shuttle::sync;";
    let tree =
        Tree::planted(&[(MANIFEST, manifest), (DOCUMENT, document), ("src/base/x.rs", source)]);
    let mut findings = Vec::new();
    check(&tree, &mut findings);
    let seen: Vec<(String, usize, String)> =
        findings.into_iter().map(|found| (found.path, found.line, found.what)).collect();
    let expected = [
        (MANIFEST, 6, "clap_x is used nowhere"),
        (MANIFEST, 8, "proptest has no line in docs/DEPENDENCIES.md"),
        (MANIFEST, 9, "serde-json has no line in docs/DEPENDENCIES.md"),
        (MANIFEST, 12, "loom is used nowhere"),
        (MANIFEST, 13, "shuttle has no line in docs/DEPENDENCIES.md"),
        (DOCUMENT, 3, "gone is no dependency"),
    ];
    let expected =
        expected.map(|(path, line, what)| (path.to_owned(), line, what.to_owned())).to_vec();
    assert_eq!(seen, expected);
}
