//! Every path a file names, `use` trees taken apart and aliases followed, so that a forbidden
//! import is the same whichever way it is written.

use crate::lexer::{Kind, Token, lex};
use std::collections::HashMap;

/// One path. Of our own crate it begins with `crate`; of another with that crate's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathUse {
    /// Its segments; the last of a glob import is `*`.
    pub segments: Vec<String>,
    /// Where.
    pub line: usize,
}

impl PathUse {
    /// Does it lead to `wanted` or into it? A glob of what contains it does, too.
    pub fn leads_to(&self, wanted: &[&str]) -> bool {
        let own = &self.segments;
        let glob = own.last().is_some_and(|last| last == "*") && own.len() <= wanted.len();
        let compared = if glob { own.len() - 1 } else { wanted.len() };
        own.len() >= compared && own.iter().zip(wanted).take(compared).all(|(a, b)| a == b)
    }
}

/// All paths of two segments or more, and all of `use`.
pub fn paths(file: &str, tokens: &[Token]) -> Vec<PathUse> {
    let mut reader = Reader { file, tokens, aliases: HashMap::new(), inside: Vec::new() };
    reader.read()
}

struct Reader<'a> {
    file: &'a str,
    tokens: &'a [Token],
    /// Names made by `use`, by the inline modules they were made in, and what they mean.
    aliases: HashMap<(Vec<String>, String), Vec<String>>,
    /// Inline modules around the present token: name, and depth of braces outside.
    inside: Vec<(String, usize)>,
}

impl Reader<'_> {
    fn read(&mut self) -> Vec<PathUse> {
        let mut found = Vec::new();
        let mut inline = Vec::new();
        let (mut at, mut depth) = (0, 0_usize);
        while at < self.tokens.len() {
            if self.word(at) == Some("mod") && self.is(at + 2, "{") {
                self.inside.push((self.tokens[at + 1].text.clone(), depth));
            }
            if self.is(at, "{") {
                depth += 1;
            } else if self.is(at, "}") {
                depth = depth.saturating_sub(1);
                self.inside.retain(|(_, outside)| *outside < depth);
            }
            let begins_use = self.word(at) == Some("use") && !self.is(at + 1, "<");
            if begins_use {
                at = self.tree(at + 1, Vec::new(), &mut found);
            } else if self.word(at) == Some("extern") && self.word(at + 1) == Some("crate") {
                let segments = vec![self.tokens[at + 2].text.clone()];
                found.push(PathUse { segments, line: self.tokens[at].line });
                at += 3;
            } else {
                at = self.inline_path(at, &mut inline);
            }
        }
        // An alias may stand below its use: functions import what they need.
        for (within, path) in inline {
            let segments = self.follow(within, path.segments);
            found.push(PathUse { segments, ..path });
        }
        found
    }

    fn word(&self, at: usize) -> Option<&str> {
        self.tokens
            .get(at)
            .filter(|token| token.kind == Kind::Word)
            .map(|token| token.text.as_str())
    }

    fn is(&self, at: usize, mark: &str) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| token.kind == Kind::Punctuation && token.text == mark)
    }

    /// Reads `a::b::{c, d as e, f::*}`; where it ends.
    fn tree(&mut self, from: usize, prefix: Vec<String>, found: &mut Vec<PathUse>) -> usize {
        let (mut at, mut segments) = (from, prefix);
        loop {
            if self.is(at, "::") {
                at += 1;
            } else if self.is(at, "{") {
                at += 1;
                while at < self.tokens.len() && !self.is(at, "}") {
                    at = self.tree(at, segments.clone(), found);
                    at += usize::from(self.is(at, ","));
                }
                return at + 1;
            } else if self.is(at, "*") {
                segments.push("*".to_owned());
                self.imported(segments, None, at, found);
                return at + 1;
            } else if let Some(word) = self.word(at) {
                segments.push(word.to_owned());
                at += 1;
                if self.word(at) == Some("as") {
                    let name = self.tokens.get(at + 1).map(|name| name.text.clone());
                    self.imported(segments, name, at - 1, found);
                    return at + 2;
                }
                if !self.is(at, "::") {
                    self.imported(segments, None, at - 1, found);
                    return at;
                }
            } else {
                // `;` after a group, or no Rust at all.
                return at + 1;
            }
        }
    }

    fn imported(
        &mut self,
        mut segments: Vec<String>,
        name: Option<String>,
        at: usize,
        found: &mut Vec<PathUse>,
    ) {
        // `use a::b::{self}` is `use a::b`.
        if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        let segments = self.absolute(segments);
        if let Some(name) = name.or_else(|| segments.last().cloned()) {
            self.aliases.insert((self.within(), name), segments.clone());
        }
        found.push(PathUse { segments, line: self.tokens[at].line });
    }

    /// Reads `a::b` outside of a `use`; where it ends.
    fn inline_path(&self, from: usize, inline: &mut Vec<(Vec<String>, PathUse)>) -> usize {
        let Some(first) = self.word(from) else { return from + 1 };
        let mut segments = vec![first.to_owned()];
        let mut at = from + 1;
        while self.is(at, "::") {
            let Some(word) = self.word(at + 1) else { break };
            segments.push(word.to_owned());
            at += 2;
        }
        if segments.len() > 1 {
            let segments = self.absolute(segments);
            inline.push((self.within(), PathUse { segments, line: self.tokens[from].line }));
        }
        at
    }

    /// `self`, `super` and our crate's name, seen from here.
    fn absolute(&self, segments: Vec<String>) -> Vec<String> {
        let Some(first) = segments.first() else { return segments };
        match first.as_str() {
            "minirdr" => {
                let rest = segments.into_iter().skip(1);
                std::iter::once("crate".to_owned()).chain(rest).collect()
            }
            "self" | "super" => {
                let ups = segments.iter().take_while(|segment| *segment == "super").count();
                let plain = segments.iter().take_while(|segment| *segment == "self").count();
                let mut here = self.here();
                // Above the root of the crate there is nothing: such a path does not compile.
                here.truncate(here.len().saturating_sub(ups).max(1));
                here.extend(segments.into_iter().skip(ups.max(plain)));
                here
            }
            _ => segments,
        }
    }

    /// The module the present token is in, from its crate's root.
    fn here(&self) -> Vec<String> {
        let root = if self.file.starts_with("src/") { "crate" } else { "test" };
        let mut here = vec![root.to_owned()];
        let folder = self.file.split_once('/').map_or(self.file, |(_, rest)| rest);
        let stem = folder.strip_suffix(".rs").unwrap_or(folder);
        let parts = stem.split('/').filter(|part| !["mod", "lib", "main"].contains(part));
        here.extend(parts.map(str::to_owned));
        here.extend(self.within());
        here
    }

    fn within(&self) -> Vec<String> {
        self.inside.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Replaces a first segment that a `use` made, in this module or (`use super::*`) around it.
    fn follow(&self, mut within: Vec<String>, segments: Vec<String>) -> Vec<String> {
        let Some(first) = segments.first().cloned() else { return segments };
        loop {
            if let Some(meaning) = self.aliases.get(&(within.clone(), first.clone())) {
                return meaning.iter().cloned().chain(segments.into_iter().skip(1)).collect();
            }
            if within.pop().is_none() {
                return segments;
            }
        }
    }
}

fn seen(file: &str, source: &str) -> Vec<String> {
    paths(file, &lex(source).0).into_iter().map(|path| path.segments.join("::")).collect()
}

#[test]
fn use_trees_are_taken_apart() {
    let source = "use crate::{base::clock::Clock, mrx::{self, upcall::*}, rdbss as core};\n\
                  use std::thread::{self as threads, sleep};\nfn f() { threads::spawn(g); }";
    assert_eq!(
        seen("src/front/x.rs", source),
        [
            "crate::base::clock::Clock",
            "crate::mrx",
            "crate::mrx::upcall::*",
            "crate::rdbss",
            "std::thread",
            "std::thread::sleep",
            "std::thread::spawn",
        ]
    );
}

#[test]
fn relative_paths_are_made_absolute() {
    let source = "use super::super::mrx::request; use self::inner::A;\n\
                  mod tests { use super::B; fn f() { super::super::c::d(); } }\n\
                  fn g() { crate::e::f() }";
    assert_eq!(
        seen("src/rdbss/gate.rs", source),
        [
            "crate::mrx::request",
            "crate::rdbss::gate::inner::A",
            "crate::rdbss::gate::B",
            "crate::rdbss::c::d",
            "crate::e::f",
        ]
    );
    assert_eq!(seen("src/main.rs", "fn main() { minirdr::cli::run() }"), ["crate::cli::run"]);
    assert_eq!(seen("src/rdbss/mod.rs", "use super::base;"), ["crate::base"]);
}

#[test]
fn an_alias_of_a_test_module_is_not_the_files() {
    let source = "use crate::base::sync::Mutex;\nfn f() { Mutex::new(1); }\n\
                  mod tests { use super::*; use std::sync::Mutex; fn g() { Mutex::new(2); } }";
    let found = seen("src/rdbss/x.rs", source);
    assert_eq!(found[3..], ["crate::base::sync::Mutex::new", "std::sync::Mutex::new"]);
}

#[test]
fn leading_to_a_place() {
    let path =
        |text: &str| PathUse { segments: text.split("::").map(str::to_owned).collect(), line: 1 };
    let wanted = ["std", "thread", "spawn"];
    for (text, leads) in [
        ("std::thread::spawn", true),
        ("std::thread::*", true),
        ("std::thread::spawn::x", true),
        ("std::thread", false),
        ("std::thread::park", false),
        ("other::thread::spawn", false),
    ] {
        assert_eq!(path(text).leads_to(&wanted), leads, "{text}");
    }
}
