//! One Rust file, read once for all rules: its tokens, which lines are tests, its functions and the
//! paths it names.

use crate::lexer::{Comment, Kind, Token, lex};
use crate::paths::{PathUse, paths};
use std::ops::RangeInclusive;

/// A `mod name;`: another file belongs here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The module's name.
    pub name: String,
    /// The inline modules around it.
    pub within: Vec<String>,
    /// What `#[path]` says.
    pub path: Option<String>,
    /// Is it only there for tests?
    pub test: bool,
    /// Its line.
    pub line: usize,
}

/// A function with a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// From `fn` to the closing brace.
    pub lines: RangeInclusive<usize>,
}

/// One Rust file.
#[derive(Debug)]
pub struct Source {
    /// From the root of the repository, with slashes.
    pub path: String,
    /// Line by line.
    pub lines: Vec<String>,
    /// Its tokens.
    pub tokens: Vec<Token>,
    /// Its comments.
    pub comments: Vec<Comment>,
    /// The files it declares.
    pub declarations: Vec<Declaration>,
    /// Its functions, inner ones too.
    pub functions: Vec<Function>,
    /// Every path it names, as absolute as the file alone can tell.
    pub paths: Vec<PathUse>,
    /// Lines of inline test modules.
    pub test_lines: Vec<RangeInclusive<usize>>,
    /// Lines where `test` is asked for anywhere but before a module.
    pub stray_test_conditions: Vec<usize>,
    /// Is all of it a test, or compiled for tests only?
    pub whole_test: bool,
}

impl Source {
    /// Reads one file.
    pub fn new(path: &str, text: &str) -> Self {
        let (tokens, comments) = lex(text);
        let mut source = Self {
            path: path.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            functions: functions(&tokens),
            paths: paths(path, &tokens),
            tokens,
            comments,
            declarations: Vec::new(),
            test_lines: Vec::new(),
            stray_test_conditions: Vec::new(),
            whole_test: !path.starts_with("src/"),
        };
        source.read_modules();
        source
    }

    /// Is this line part of a test?
    pub fn is_test(&self, line: usize) -> bool {
        self.whole_test || self.test_lines.iter().any(|lines| lines.contains(&line))
    }

    /// The text of a token, or nothing past the end.
    pub fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text.as_str())
    }

    /// Is the token at `at` this word, not a string of the same letters?
    pub fn is_word(&self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.kind == Kind::Word && token.text == word)
    }

    /// Is the token at `at` this punctuation?
    pub fn is_mark(&self, at: usize, mark: &str) -> bool {
        let found = self.tokens.get(at);
        found.is_some_and(|token| token.kind == Kind::Punctuation && token.text == mark)
    }

    /// Do these tokens stand at `at`? Strings of the same letters do not count.
    pub fn stands(&self, at: usize, wanted: &[&str]) -> bool {
        wanted.iter().enumerate().all(|(offset, text)| {
            self.is_word(at + offset, text) || self.is_mark(at + offset, text)
        })
    }

    fn read_modules(&mut self) {
        let mut within: Vec<(String, usize)> = Vec::new();
        let (mut depth, mut at) = (0_usize, 0);
        let mut attributes = Attributes::default();
        while at < self.tokens.len() {
            if self.stands(at, &["#", "["]) || self.stands(at, &["#", "!", "["]) {
                at = self.read_attribute(at, &mut attributes);
                continue;
            }
            if self.is_word(at, "pub") && self.is_mark(at + 1, "(") {
                at = closing(&self.tokens, at + 1) + 1;
                continue;
            }
            if self.is_word(at, "mod") && self.tokens.get(at + 1).is_some() {
                let name = self.text(at + 1).to_owned();
                let line = self.tokens[at].line;
                if self.is_mark(at + 2, ";") {
                    let within = within.iter().map(|(name, _)| name.clone()).collect();
                    let Attributes { test, path } = std::mem::take(&mut attributes);
                    let test = test.is_some() || self.is_test(line);
                    self.declarations.push(Declaration { name, within, path, test, line });
                } else if self.is_mark(at + 2, "{") {
                    if let Some(first) = attributes.test.take() {
                        let end = closing(&self.tokens, at + 2);
                        let last = self.tokens.get(end).map_or(self.lines.len(), |end| end.line);
                        self.test_lines.push(first..=last);
                    }
                    within.push((name, depth));
                }
            }
            if self.is_mark(at, "{") {
                depth += 1;
            } else if self.is_mark(at, "}") {
                depth = depth.saturating_sub(1);
                within.retain(|(_, outside)| *outside < depth);
            }
            attributes.passes(&self.tokens[at].text, &mut self.stray_test_conditions);
            if self.stands(at, &["cfg", "!", "(", "test", ")"]) {
                self.stray_test_conditions.push(self.tokens[at].line);
            }
            at += 1;
        }
    }

    /// Takes in the attribute at `at`; where it ends.
    fn read_attribute(&mut self, at: usize, attributes: &mut Attributes) -> usize {
        let open = if self.is_mark(at + 1, "[") { at + 1 } else { at + 2 };
        let (end, line) = (closing(&self.tokens, open), self.tokens[at].line);
        let conditional = self.is_word(open + 1, "cfg") || self.is_word(open + 1, "cfg_attr");
        if self.stands(open + 1, &["cfg", "(", "test", ")", "]"]) {
            attributes.test = Some(line);
        } else if conditional && (open..end).any(|inner| self.is_word(inner, "test")) {
            self.stray_test_conditions.push(line);
        } else if self.stands(open + 1, &["path", "="]) {
            attributes.path = Some(self.text(open + 3).to_owned());
        }
        end + 1
    }
}

/// What the attributes before an item said.
#[derive(Default)]
struct Attributes {
    /// The line of `#[cfg(test)]`.
    test: Option<usize>,
    path: Option<String>,
}

impl Attributes {
    /// A token of the item they belong to: they are used up unless it is only `pub` or `mod`.
    fn passes(&mut self, text: &str, stray: &mut Vec<usize>) {
        if text == "pub" || text == "mod" {
            return;
        }
        stray.extend(self.test.take());
        self.path = None;
    }
}

/// Where the bracket at `open` is closed; past the end if it never is.
pub fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.kind != Kind::Punctuation {
            continue;
        }
        match token.text.as_str() {
            "{" | "[" | "(" => depth += 1,
            "}" | "]" | ")" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

fn functions(tokens: &[Token]) -> Vec<Function> {
    let word = |at: usize, text: &str| {
        tokens.get(at).is_some_and(|token| token.kind == Kind::Word && token.text == text)
    };
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let named = tokens.get(at + 1).is_some_and(|name| name.kind == Kind::Word);
        if !word(at, "fn") || !named {
            continue;
        }
        let mut next = at + 2;
        // Brackets of the signature are skipped whole: `[u8; { N }]` is not a body.
        while next < tokens.len() {
            match tokens[next].text.as_str() {
                ";" => break,
                "{" => {
                    let last = closing(tokens, next).min(tokens.len() - 1);
                    let lines = tokens[at].line..=tokens[last].line;
                    found.push(Function { name: tokens[at + 1].text.clone(), lines });
                    break;
                }
                "(" | "[" => next = closing(tokens, next) + 1,
                _ => next += 1,
            }
        }
    }
    found
}

#[test]
fn test_modules_are_found() {
    let text = "//! A.\nmod a;\n#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod b;\nfn f() {}\n\
                #[cfg(test)]\n#[allow(dead_code)]\npub(in crate::base) \
                mod tests {\n  mod inner;\n}\n\
                fn g() {}\n";
    let source = Source::new("src/base/x.rs", text);
    assert_eq!(source.test_lines, [7..=11]);
    assert!(source.stray_test_conditions.is_empty());
    let seen: Vec<(&str, bool, Option<&str>)> = source
        .declarations
        .iter()
        .map(|found| (found.name.as_str(), found.test, found.path.as_deref()))
        .collect();
    assert_eq!(seen, [("a", false, None), ("b", true, Some("b_tests.rs")), ("inner", true, None)]);
    assert_eq!(source.declarations[2].within, ["tests"]);
}

#[test]
fn test_conditions_elsewhere_are_found() {
    let text = "#[cfg(test)]\nfn f() {}\n#[cfg(not(test))]\nfn g() {}\n\
                fn h() { if cfg!(test) {} }\n\
                #[cfg_attr(test, derive(Debug))]\nstruct S;\n\
                #[cfg(feature = \"test\")]\nmod m {}\n";
    let mut lines = Source::new("src/base/x.rs", text).stray_test_conditions;
    lines.sort_unstable();
    assert_eq!(lines, [1, 3, 5, 6]);
}

#[test]
fn functions_are_measured() {
    let text = "fn a(f: fn(u8) -> u8, x: [u8; { 3 }]) -> u8\n{\n  fn inner() {\n  }\n  1\n}\n\
                trait T { fn none(&self); }\n";
    let found = Source::new("src/base/x.rs", text).functions;
    let seen: Vec<(&str, RangeInclusive<usize>)> =
        found.iter().map(|found| (found.name.as_str(), found.lines.clone())).collect();
    assert_eq!(seen, [("a", 1..=6), ("inner", 3..=4)]);
}
