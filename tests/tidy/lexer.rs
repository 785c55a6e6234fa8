//! Rust source as tokens and comments: enough of the lexical grammar that nothing inside a string
//! or a comment is mistaken for code, nor the other way round.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An identifier or keyword; of a raw one, without its `r#`.
    Word,
    /// A string, character or number.
    Literal,
    /// `'a`.
    Lifetime,
    /// `::`, `=>` and `->` whole, anything else one character at a time.
    Punctuation,
}

/// One token.
#[derive(Clone, Debug)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its text; of a string literal, without the quotes.
    pub text: String,
    /// The line it begins on, from 1.
    pub line: usize,
}

/// One line of a comment, doc comments included.
#[derive(Clone, Debug)]
pub struct Comment {
    /// The text with its slashes.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
}

/// Takes a source apart.
pub fn lex(text: &str) -> (Vec<Token>, Vec<Comment>) {
    let mut lexer = Lexer { text, at: 0, line: 1, tokens: Vec::new(), comments: Vec::new() };
    while let Some(byte) = lexer.peek(0) {
        lexer.next(byte);
    }
    (lexer.tokens, lexer.comments)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
    comments: Vec<Comment>,
}

/// Bytes above ASCII count as letters: outside strings and comments there is nothing else they can
/// be.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn next(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                self.line += 1;
                self.at += 1;
            }
            _ if byte.is_ascii_whitespace() => self.at += 1,
            b'/' if self.peek(1) == Some(b'/') => self.line_comment(),
            b'/' if self.peek(1) == Some(b'*') => self.block_comment(),
            b'"' => self.string(),
            b'\'' => self.quote(),
            b'0'..=b'9' => self.number(),
            _ if is_word(byte) => self.word(),
            _ => self.punctuation(),
        }
    }

    fn push(&mut self, kind: Kind, from: usize, to: usize, line: usize) {
        let text = self.text[from..to].to_owned();
        self.tokens.push(Token { kind, text, line });
    }

    fn line_comment(&mut self) {
        let rest = &self.text[self.at..];
        let length = rest.find('\n').unwrap_or(rest.len());
        self.comments.push(Comment { text: rest[..length].to_owned(), line: self.line });
        self.at += length;
    }

    fn block_comment(&mut self) {
        let (from, first_line, mut depth) = (self.at, self.line, 0_usize);
        loop {
            match (self.peek(0), self.peek(1)) {
                (None, _) => break,
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        break;
                    }
                }
                (Some(byte), _) => {
                    self.line += usize::from(byte == b'\n');
                    self.at += 1;
                }
            }
        }
        for (offset, text) in self.text[from..self.at].split('\n').enumerate() {
            self.comments.push(Comment { text: text.to_owned(), line: first_line + offset });
        }
    }

    /// A string with escapes; `at` is on its opening quote.
    fn string(&mut self) {
        let (from, line) = (self.at + 1, self.line);
        self.at = from;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'"' => break,
                // What is escaped may be the end of the line.
                b'\\' => {
                    self.line += usize::from(self.peek(1) == Some(b'\n'));
                    self.at += 2;
                }
                _ => {
                    self.line += usize::from(byte == b'\n');
                    self.at += 1;
                }
            }
        }
        let to = self.at.min(self.text.len());
        self.push(Kind::Literal, from, to, line);
        self.at = to + 1;
    }

    /// A raw string; `at` is on the first `#` or the opening quote.
    fn raw_string(&mut self, hashes: usize) {
        let (from, line) = (self.at + hashes + 1, self.line);
        let end = format!("\"{}", "#".repeat(hashes));
        let length = self.text[from..].find(&end).unwrap_or(self.text.len() - from);
        let body = &self.text[from..from + length];
        self.line += body.bytes().filter(|byte| *byte == b'\n').count();
        self.push(Kind::Literal, from, from + length, line);
        self.at = (from + length + end.len()).min(self.text.len());
    }

    /// A character or a lifetime.
    fn quote(&mut self) {
        let from = self.at + 1;
        let mut characters = self.text[from..].char_indices();
        let first = characters.next();
        let second = characters.next();
        match (first, second) {
            (Some((_, '\\')), _) => {
                // The character after the backslash may itself be a quote.
                let skipped = second.map_or(0, |(offset, letter)| offset + letter.len_utf8());
                let rest = &self.text[from + skipped..];
                let to = from + skipped + rest.find('\'').unwrap_or(rest.len());
                self.push(Kind::Literal, from, to, self.line);
                self.at = (to + 1).min(self.text.len());
            }
            (Some(_), Some((offset, '\''))) => {
                self.push(Kind::Literal, from, from + offset, self.line);
                self.at = from + offset + 1;
            }
            _ => {
                self.at = from;
                while self.peek(0).is_some_and(is_word) {
                    self.at += 1;
                }
                self.push(Kind::Lifetime, from, self.at, self.line);
            }
        }
    }

    fn number(&mut self) {
        let from = self.at;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(byte), _) if is_word(byte) => self.at += 1,
                // `1.5`, but neither `1..2` nor `1.max(2)`.
                (Some(b'.'), Some(b'0'..=b'9')) => self.at += 1,
                _ => break,
            }
        }
        self.push(Kind::Literal, from, self.at, self.line);
    }

    fn word(&mut self) {
        let from = self.at;
        while self.peek(0).is_some_and(is_word) {
            self.at += 1;
        }
        let hashes = self.text[self.at..].bytes().take_while(|byte| *byte == b'#').count();
        let quoted = self.peek(hashes) == Some(b'"');
        match &self.text[from..self.at] {
            "r" | "br" | "cr" if quoted => self.raw_string(hashes),
            "b" | "c" if self.peek(0) == Some(b'"') => self.string(),
            "b" if self.peek(0) == Some(b'\'') => self.quote(),
            "r" if hashes == 1 && self.peek(1).is_some_and(is_word) => {
                self.at += 1;
                self.word();
            }
            _ => self.push(Kind::Word, from, self.at, self.line),
        }
    }

    fn punctuation(&mut self) {
        let whole = matches!(
            (self.peek(0), self.peek(1)),
            (Some(b':'), Some(b':')) | (Some(b'=' | b'-'), Some(b'>'))
        );
        let length = if whole { 2 } else { 1 };
        self.push(Kind::Punctuation, self.at, self.at + length, self.line);
        self.at += length;
    }
}

fn texts(source: &str) -> Vec<String> {
    lex(source).0.into_iter().map(|token| token.text).collect()
}

#[test]
fn code_is_told_from_strings_and_comments() {
    let source = concat!(
        "let a = \"one // not a comment \\\" still\"; // a comment \"not a string\"\n",
        "/* outer /* inner */ fn hidden() {} */ let b = r#\"raw \" string\"#;\n",
        "let c = b\"bytes\"; let r#fn = 'x'; let q = '\\''; let s = '\"'; b'\\\\'\n",
    );
    let (tokens, comments) = lex(source);
    assert!(!tokens.iter().any(|token| token.text == "hidden"));
    assert_eq!(comments.len(), 2);
    assert_eq!(comments[0].text, "// a comment \"not a string\"");
    let literals: Vec<&str> = tokens
        .iter()
        .filter(|token| token.kind == Kind::Literal)
        .map(|token| token.text.as_str())
        .collect();
    assert_eq!(
        literals,
        ["one // not a comment \\\" still", "raw \" string", "bytes", "x", "\\'", "\"", "\\\\"]
    );
    assert!(tokens.iter().any(|token| token.kind == Kind::Word && token.text == "fn"));
}

#[test]
fn lifetimes_numbers_and_paths() {
    assert_eq!(
        texts("fn f<'a>(x: &'a T) -> u8 { 1..2; 1.5; 0x1f_u8.max(3) }")[..10],
        ["fn", "f", "<", "a", ">", "(", "x", ":", "&", "a"]
    );
    let tail = texts("1..2; 1.5; 7.max(3) a::b _ => c");
    assert_eq!(
        tail,
        [
            "1", ".", ".", "2", ";", "1.5", ";", "7", ".", "max", "(", "3", ")", "a", "::", "b",
            "_", "=>", "c"
        ]
    );
}

#[test]
fn lines_are_counted_through_everything() {
    let source = "/* a\nb */\n\"x\ny\\\nz\"\nr\"1\n2\"\n'\\n' last";
    let (tokens, comments) = lex(source);
    let last = tokens.last().expect("there are tokens");
    assert_eq!((last.text.as_str(), last.line), ("last", 8));
    assert_eq!(comments.iter().map(|comment| comment.line).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn an_unfinished_source_ends() {
    for source in ["\"open", "/* open", "r#\"open", "'", "'\\", "b'", "\"\\", "r#"] {
        lex(source);
    }
}
