//! How files look: what each is for is said at its top, none is too long, and neither is a
//! function.

use crate::source::Source;
use crate::tree::{Finding, Text, Tree};

/// Lines of a file before its tests (style.md §3, house numbers).
const FILE_LINES_MAX: usize = 600;
/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Characters of a line.
const WIDTH_MAX: usize = 100;
/// Lines of a shell case (style.md H17).
const CASE_LINES_MAX: usize = 60;

/// Checks every file.
pub fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in &tree.sources {
        module_doc(file, findings);
        file_size(file, findings);
        function_size(file, findings);
        table_of_contents(file, findings);
        width(&file.path, &file.lines, findings);
    }
    for text in tree.texts.iter().filter(|text| text.path.starts_with("tests/shell/")) {
        width(&text.path, &text.lines, findings);
        if text.path.starts_with("tests/shell/cases/") {
            shell_case(text, findings);
        }
    }
}

fn module_doc(file: &Source, findings: &mut Vec<Finding>) {
    let first = file.lines.first().map_or("", String::as_str);
    if first.strip_prefix("//!").is_none_or(|rest| rest.trim().is_empty()) {
        findings.push(Finding::new(
            &file.path,
            1,
            "does not begin by saying what it is for",
            "make the first line `//! What this file is for.`",
        ));
    }
}

fn file_size(file: &Source, findings: &mut Vec<Finding>) {
    let counted = |line: &usize| file.whole_test || !file.is_test(*line);
    let lines = (1..=file.lines.len()).filter(counted).count();
    if lines > FILE_LINES_MAX {
        findings.push(Finding::new(
            &file.path,
            FILE_LINES_MAX + 1,
            format!("{lines} lines, tests apart; {FILE_LINES_MAX} is the limit"),
            "split it where its parts know least of each other",
        ));
    }
}

fn function_size(file: &Source, findings: &mut Vec<Finding>) {
    for function in &file.functions {
        let lines = function.lines.end() - function.lines.start() + 1;
        if lines > FUNCTION_LINES_MAX {
            findings.push(Finding::new(
                &file.path,
                *function.lines.start(),
                format!(
                    "fn {} has {lines} lines; {FUNCTION_LINES_MAX} is the limit",
                    function.name
                ),
                "name its parts: control flow stays here, pure helpers go down",
            ));
        }
    }
}

/// `mod.rs` and `lib.rs` are tables of contents.
fn table_of_contents(file: &Source, findings: &mut Vec<Finding>) {
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    let contents = name == "mod.rs" || file.path == "src/lib.rs";
    // The helpers all tests share are one file by cargo's rule, not a folder's contents.
    if !contents || !file.path.starts_with("src/") {
        return;
    }
    if let Some(function) = file.functions.first() {
        findings.push(Finding::new(
            &file.path,
            *function.lines.start(),
            format!("fn {} in a table of contents", function.name),
            "mod.rs holds docs and `mod` lines: give the function a file with a name",
        ));
    }
}

fn width(path: &str, lines: &[String], findings: &mut Vec<Finding>) {
    for (at, line) in lines.iter().enumerate() {
        let characters = line.chars().count();
        if characters > WIDTH_MAX {
            findings.push(Finding::new(
                path,
                at + 1,
                format!("{characters} characters wide; {WIDTH_MAX} is the limit"),
                "break the line; rustfmt leaves comments and strings to you",
            ));
        }
    }
}

/// A shell case is short, has a time limit, and waits for conditions.
fn shell_case(text: &Text, findings: &mut Vec<Finding>) {
    let mut finding = |line: usize, what: &str, cure: &str| {
        findings.push(Finding::new(&text.path, line, what, cure));
    };
    if text.lines.len() > CASE_LINES_MAX {
        finding(CASE_LINES_MAX + 1, "a long case", "one file a case: split it");
    }
    if !text.lines.iter().any(|line| line.starts_with("# TIMEOUT: ")) {
        finding(
            1,
            "a case without a time limit",
            "write `# TIMEOUT: <seconds>` below its first line",
        );
    }
    for (at, line) in text.lines.iter().enumerate() {
        let code = line.split('#').next().unwrap_or(line);
        if code.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == "sleep") {
            finding(
                at + 1,
                "a case that sleeps",
                "wait_until the condition (tests/shell/lib/common.sh)",
            );
        }
    }
}

fn found(path: &str, text: &str) -> Vec<usize> {
    let mut findings = Vec::new();
    check(&Tree::planted(&[(path, text)]), &mut findings);
    findings.into_iter().map(|found| found.line).collect()
}

#[test]
fn a_file_says_what_it_is_for() {
    assert_eq!(found("src/base/x.rs", "//! For this.\n"), []);
    for text in ["", "//!\n", "// For this.\n", "use x;\n", "\n//! For this.\n"] {
        assert_eq!(found("benches/x.rs", text), [1], "{text:?}");
    }
}

#[test]
fn files_and_functions_have_a_size() {
    let file = |lines: usize| format!("//! X.\n{}", "\n".repeat(lines - 1));
    assert_eq!(found("src/base/x.rs", &file(600)), []);
    assert_eq!(found("src/base/x.rs", &file(601)), [601]);
    assert_eq!(found("tests/x.rs", &file(601)), [601]);
    let tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", file(600), "\n".repeat(500));
    assert_eq!(found("src/base/x.rs", &tests), []);
    let function = |lines: usize| format!("//! X.\nfn f() {{\n{}}}\n", "\n".repeat(lines - 2));
    assert_eq!(found("src/base/x.rs", &function(70)), []);
    assert_eq!(found("src/base/x.rs", &function(71)), [2]);
}

#[test]
fn a_mod_file_is_a_table_of_contents() {
    assert_eq!(found("src/base/mod.rs", "//! X.\nmod a;\nfn f() {}\n"), [3]);
    assert_eq!(found("src/base/mod.rs", "//! X. fn\nmod a;\npub use a::f;\n"), []);
    assert_eq!(found("tests/common/mod.rs", "//! X.\nfn f() {}\n"), []);
}

#[test]
fn lines_have_a_width() {
    let wide = |letters: usize| format!("//! {}\n", "é".repeat(letters));
    assert_eq!(found("src/base/x.rs", &wide(96)), []);
    assert_eq!(found("src/base/x.rs", &wide(97)), [1]);
    assert_eq!(found("tests/shell/lib/common.sh", &format!("# {}", "x".repeat(99))), [1]);
    assert_eq!(found("docs/X.md", &wide(300)), []);
}

#[test]
fn shell_cases_wait_and_end() {
    let path = "tests/shell/cases/stop/x.sh";
    assert_eq!(found(path, "#!/bin/bash\n# TIMEOUT: 20\n# no sleep here\nwait_until true\n"), []);
    assert_eq!(found(path, "#!/bin/bash\n"), [1]);
    assert_eq!(found(path, "# TIMEOUT: 20\nfoo; sleep 1\n"), [2]);
    assert_eq!(found(path, &format!("# TIMEOUT: 20\n{}", "\n".repeat(60))), [61]);
}
