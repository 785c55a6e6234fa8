//! The repository as the rules see it: every Rust file, every other text they read, and what a rule
//! finds.

use crate::source::{Declaration, Source};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::path::Path;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub cure: String,
}

impl Finding {
    /// A finding.
    pub fn new(path: &str, line: usize, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), cure: cure.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}\n    cure: {}", self.path, self.line, self.what, self.cure)
    }
}

/// A file that is not Rust.
#[derive(Debug)]
pub struct Text {
    /// From the root, with slashes.
    pub path: String,
    /// Line by line.
    pub lines: Vec<String>,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Tree {
    /// Rust files.
    pub sources: Vec<Source>,
    /// Shell, Python, Markdown, TOML.
    pub texts: Vec<Text>,
    /// Modules that are declared and not there, and files that nobody declares.
    pub loose_ends: Vec<Finding>,
}

/// Where files are looked for; what is at the top is read too.
const FOLDERS: [&str; 7] = ["src", "tests", "benches", "docs", "contrib", "examples", ".ci"];
const TEXT_ENDINGS: [&str; 4] = [".md", ".sh", ".py", ".toml"];

impl Tree {
    /// Reads the repository.
    pub fn read(root: &Path) -> Self {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(root).expect("the repository can be listed") {
            let path = entry.expect("an entry can be read").path();
            if path.is_file() {
                collect(root, &path, &mut files);
            }
        }
        for folder in FOLDERS {
            collect(root, &root.join(folder), &mut files);
        }
        files.sort();
        Self::new(files)
    }

    /// The same of files that exist only here: path and text.
    pub fn planted(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect())
    }

    fn new(files: Vec<(String, String)>) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            if path.ends_with(".rs") {
                tree.sources.push(Source::new(&path, &text));
            } else {
                tree.texts.push(Text { path, lines: text.lines().map(str::to_owned).collect() });
            }
        }
        tree.follow_modules();
        tree
    }

    /// A text by its path.
    pub fn text(&self, path: &str) -> Option<&Text> {
        self.texts.iter().find(|text| text.path == path)
    }

    /// Walks `mod` lines from the roots: what only tests reach is a test, what nobody reaches is
    /// dead.
    fn follow_modules(&mut self) {
        let index: HashMap<String, usize> =
            self.sources.iter().enumerate().map(|(at, file)| (file.path.clone(), at)).collect();
        let roots = index.iter().filter(|(path, _)| is_root(path)).map(|(_, at)| (*at, false));
        let mut waiting: VecDeque<(usize, bool)> = roots.collect();
        let mut reached: HashSet<(usize, bool)> = waiting.iter().copied().collect();
        while let Some((at, test)) = waiting.pop_front() {
            let file = &self.sources[at];
            for declaration in &file.declarations {
                let test = test || declaration.test;
                let candidates = candidates(&file.path, declaration);
                match candidates.iter().find_map(|path| index.get(path)) {
                    Some(next) if reached.insert((*next, test)) => waiting.push_back((*next, test)),
                    Some(_) => {}
                    None => self.loose_ends.push(Finding::new(
                        &file.path,
                        declaration.line,
                        format!("module `{}` has no file", declaration.name),
                        format!("write {}", candidates.join(" or ")),
                    )),
                }
            }
        }
        for (at, file) in self.sources.iter_mut().enumerate() {
            let (in_production, in_tests) =
                (reached.contains(&(at, false)), reached.contains(&(at, true)));
            if in_tests && !in_production {
                file.whole_test = true;
            } else if !in_production {
                self.loose_ends.push(Finding::new(
                    &file.path,
                    1,
                    "no `mod` line leads here: the compiler never sees it",
                    "declare it, or delete it",
                ));
            }
        }
    }
}

/// Is it the root of a crate?
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(
        parts[..],
        ["build.rs"]
            | ["src", "lib.rs" | "main.rs"]
            | ["tests" | "benches" | "examples", _]
            | ["tests" | "benches" | "examples", _, "main.rs"]
            // A workspace of its own, with a program a file.
            | ["tests", "fuzz", "fuzz_targets", _]
    )
}

/// The files a declaration may mean.
fn candidates(file: &str, declaration: &Declaration) -> Vec<String> {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    if let Some(path) = &declaration.path {
        return vec![normal(&format!("{folder}/{path}"))];
    }
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let mut base = folder.to_owned();
    if stem != "mod" && !is_root(file) {
        base = format!("{base}/{stem}");
    }
    for outer in &declaration.within {
        base = format!("{base}/{outer}");
    }
    let name = &declaration.name;
    vec![format!("{base}/{name}.rs"), format!("{base}/{name}/mod.rs")]
}

/// The path without its `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn collect(root: &Path, path: &Path, files: &mut Vec<(String, String)>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder can be listed") {
            collect(root, &entry.expect("an entry can be read").path(), files);
        }
        return;
    }
    let relative = path.strip_prefix(root).expect("it was found below the root");
    let relative = relative.to_string_lossy().into_owned();
    let wanted = relative.ends_with(".rs") || relative == ".ci/run";
    if wanted || TEXT_ENDINGS.iter().any(|ending| relative.ends_with(ending)) {
        // A folder of the list that does not exist is no file either.
        if let Ok(text) = std::fs::read_to_string(path) {
            files.push((relative, text));
        }
    }
}

#[test]
fn files_reached_only_by_tests_are_tests() {
    let tree = Tree::planted(&[
        ("src/lib.rs", "pub mod a;\n"),
        ("src/main.rs", "fn main() {}\n"),
        ("src/a/mod.rs", "mod b;\n#[cfg(test)]\nmod helper;\n"),
        ("src/a/b.rs", "mod c;\n#[cfg(test)]\nmod tests { mod inner; }\n"),
        ("src/a/b/c.rs", ""),
        ("src/a/b/tests/inner.rs", ""),
        ("src/a/helper.rs", ""),
        ("src/a/dead.rs", ""),
        ("tests/x.rs", "#[path = \"x/y.rs\"]\nmod y;\nmod common;\nmod gone;\n"),
        ("tests/x/y.rs", ""),
        ("benches/b.rs", "#[path = \"../tests/common/mod.rs\"]\nmod common;\n"),
        ("tests/common/mod.rs", ""),
    ]);
    let tests: Vec<&str> = tree
        .sources
        .iter()
        .filter(|file| file.whole_test && file.path.starts_with("src/"))
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(tests, ["src/a/b/tests/inner.rs", "src/a/helper.rs"]);
    let ends: Vec<(&str, usize)> =
        tree.loose_ends.iter().map(|found| (found.path.as_str(), found.line)).collect();
    assert_eq!(ends, [("tests/x.rs", 4), ("src/a/dead.rs", 1)]);
}
