//! Documents and tests name each other: every rule a user was promised (`docs/SEMANTICS.md`, S-nn)
//! and every rule of the stop (stop.md: G1-G6, C1-C6, S1-S8) and of the management plane
//! (management.md §7) is named by a test, and no test names a rule that does not exist.

use crate::tree::{Finding, Tree};
use std::collections::{BTreeMap, BTreeSet};

const SEMANTICS: &str = "docs/SEMANTICS.md";

/// The rules of stop.md by letter, and how many there are.
const DESIGN: [(char, u32); 3] = [('G', 6), ('C', 6), ('S', 8)];

/// The invariants of the management plane.
const MANAGEMENT: [u32; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
/// How a test names one of them; its number follows.
const MANAGEMENT_SIGN: &str = "anagement.md §7, ";

/// Where something was named: path and line.
type Place = (String, usize);

/// Checks both.
pub fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    semantics(tree, findings);
    design(tree, findings);
    management(tree, findings);
}

fn semantics(tree: &Tree, findings: &mut Vec<Finding>) {
    let Some(document) = tree.text(SEMANTICS) else {
        findings.push(Finding::new(
            SEMANTICS,
            1,
            "is not there",
            "write down what a user sees, every rule numbered S-nn",
        ));
        return;
    };
    let mut promised: BTreeMap<u32, usize> = BTreeMap::new();
    for (at, line) in document.lines.iter().enumerate() {
        let Some(number) = line.strip_prefix("**").and_then(leading_number) else { continue };
        if let Some(first) = promised.insert(number, at + 1) {
            findings.push(Finding::new(
                SEMANTICS,
                at + 1,
                format!("S-{number:02} is a rule already, in line {first}"),
                "give it a number of its own",
            ));
        }
    }
    let mut named: BTreeMap<u32, Place> = BTreeMap::new();
    each_test_remark(tree, &mut |path, line, text| {
        for (at, _) in text.match_indices("S-") {
            let before = text[..at].chars().next_back();
            let inside_a_word = before.is_some_and(|letter| letter.is_alphanumeric());
            if let Some(number) = leading_number(&text[at..]).filter(|_| !inside_a_word) {
                named.entry(number).or_insert_with(|| (path.to_owned(), line));
            }
        }
    });
    for (number, line) in &promised {
        if !named.contains_key(number) {
            findings.push(Finding::new(
                SEMANTICS,
                *line,
                format!("no test names S-{number:02}"),
                "write the test, with the number in a comment of it; or promise less",
            ));
        }
    }
    for (number, (path, line)) in named {
        if !promised.contains_key(&number) {
            findings.push(Finding::new(
                &path,
                line,
                format!("S-{number:02} is no rule of {SEMANTICS}"),
                "write the rule down, or name the right one",
            ));
        }
    }
}

/// The `nn` of a text that begins with `S-nn`.
fn leading_number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("S-")?;
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

fn design(tree: &Tree, findings: &mut Vec<Finding>) {
    let mut named: Vec<String> = Vec::new();
    each_test_remark(tree, &mut |_, _, text| {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
        named.extend(words.map(str::to_owned));
    });
    for file in &tree.sources {
        let tests = file.functions.iter().filter(|test| file.is_test(*test.lines.start()));
        for test in tests {
            named.extend(test.name.split('_').map(str::to_uppercase));
        }
    }
    for (letter, count) in DESIGN {
        for rule in (1..=count).map(|number| format!("{letter}{number}")) {
            if !named.contains(&rule) {
                findings.push(Finding::new(
                    "tests/tidy/rules.rs",
                    1,
                    format!("no test names rule {rule} of stop.md"),
                    format!("name it: `fn {}_...`, or `{rule}:` in its doc", rule.to_lowercase()),
                ));
            }
        }
    }
}

fn management(tree: &Tree, findings: &mut Vec<Finding>) {
    let mut named = BTreeSet::new();
    each_test_remark(tree, &mut |_, _, text| {
        for part in text.split(MANAGEMENT_SIGN).skip(1) {
            let end = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
            named.insert(part[..end].to_owned());
        }
    });
    for number in MANAGEMENT.iter().filter(|number| !named.contains(&number.to_string())) {
        findings.push(Finding::new(
            "tests/tidy/rules.rs",
            1,
            format!("no test names invariant {number} of management.md"),
            format!("name it in a comment of its test: `management.md §7, {number}`"),
        ));
    }
}

/// Every comment of a test or bench, in Rust, shell and Python. Not this test's own: it names all.
fn each_test_remark(tree: &Tree, visit: &mut dyn FnMut(&str, usize, &str)) {
    for file in tree.sources.iter().filter(|file| !file.path.starts_with("tests/tidy")) {
        // The doc comment of a test stands before it, inside its module.
        let remarks = file.comments.iter().filter(|comment| file.is_test(comment.line));
        for comment in remarks {
            visit(&file.path, comment.line, &comment.text);
        }
    }
    for text in tree.texts.iter().filter(|text| text.path.starts_with("tests/")) {
        for (at, line) in text.lines.iter().enumerate() {
            if let Some((_, remark)) = line.split_once('#') {
                visit(&text.path, at + 1, remark);
            }
        }
    }
}

/// A test that names every rule of the design.
fn all_named() -> String {
    let plane = MANAGEMENT.iter().map(|number| format!("management.md §7, {number}."));
    let rules = DESIGN
        .iter()
        .flat_map(|(letter, count)| (1..=*count).map(move |number| format!("{letter}{number}")));
    rules.chain(plane).map(|rule| format!("/// {rule}: it holds.\nfn f() {{}}\n")).collect()
}

fn found(files: &[(&str, &str)]) -> Vec<String> {
    let mut findings = Vec::new();
    check(&Tree::planted(files), &mut findings);
    findings.iter().map(|found| format!("{}:{}: {}", found.path, found.line, found.what)).collect()
}

#[test]
fn a_promise_needs_a_test_and_a_test_a_promise() {
    let document = "# Semantics\n\n**S-01** A rule.\nSee S-02.\n**S-02** Another.\n";
    let named = format!("{}// S-01\n", all_named());
    let shell = "#!/bin/bash\n# S-02, S-03: it holds\necho S-04\n";
    assert_eq!(
        found(&[
            (SEMANTICS, document),
            ("tests/a.rs", &named),
            ("tests/shell/cases/a/b.sh", shell)
        ]),
        ["tests/shell/cases/a/b.sh:2: S-03 is no rule of docs/SEMANTICS.md"]
    );
    let outside = "// S-02\n#[cfg(test)]\nmod tests {\n// OSS-7, RFCS-8\n}\n";
    assert_eq!(
        found(&[(SEMANTICS, document), ("tests/a.rs", &named), ("src/base/a.rs", outside)]),
        ["docs/SEMANTICS.md:5: no test names S-02"]
    );
    let twice = "**S-01** A.\n**S-01** B.\n";
    assert_eq!(
        found(&[(SEMANTICS, twice), ("tests/a.rs", &named)]),
        ["docs/SEMANTICS.md:2: S-01 is a rule already, in line 1"]
    );
    assert_eq!(found(&[("tests/a.rs", &all_named())]), ["docs/SEMANTICS.md:1: is not there"]);
}

#[test]
fn a_design_rule_needs_a_test() {
    let without = all_named().replace("G3:", "G33:");
    let missing = ["tests/tidy/rules.rs:1: no test names rule G3 of stop.md"];
    assert_eq!(found(&[(SEMANTICS, ""), ("tests/a.rs", &without)]), missing);
    let by_name = format!("{without}fn g3_write_back_is_cleanup() {{}}\n");
    assert_eq!(found(&[(SEMANTICS, ""), ("tests/a.rs", &by_name)]), [""; 0]);
    let plane = all_named().replace("§7, 3.", "§7, 33.");
    let missing_plane = ["tests/tidy/rules.rs:1: no test names invariant 3 of management.md"];
    assert_eq!(found(&[(SEMANTICS, ""), ("tests/a.rs", &plane)]), missing_plane);
    let in_production = [(SEMANTICS, ""), ("tests/a.rs", &without), ("src/base/a.rs", "// G3")];
    assert_eq!(found(&in_production), missing);
}
