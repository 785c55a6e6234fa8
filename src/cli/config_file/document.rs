//! TOML to [`NamespaceConfig`], with the line of everything that may be wrong; pure.

use super::{Wrong, line_at};
use crate::app::{
    NamespaceConfig, NetName, Part, ProviderConfig, Source, check_options, parse_prefix,
};
use crate::base::name::{PLAIN_NAME_RULE, is_plain_name};
use std::ffi::OsStr;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A configuration that is right in itself, and where its parts were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// What it says.
    pub config: NamespaceConfig,
    /// Where each provider says it, in the same order.
    pub lines: Vec<Lines>,
}

/// Where a provider is in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// It begins.
    pub whole: usize,
    /// Its name.
    pub name: usize,
    /// Its prefixes.
    pub prefixes: Vec<usize>,
    /// Its source.
    pub source: usize,
}

/// Keys of the file, and of a provider.
const KEYS: [&str; 2] = ["name", "provider"];
const PROVIDER_KEYS: [&str; 5] = ["name", "prefix", "source", "options", "credentials"];

/// What is right, for those who wrote something else.
const NAME: &str = "name = \"docs\"";
const PREFIX: &str = "prefix = [\"/srv1/docs\"]";
const SOURCE: &str = "source = \"local:/srv/docs\"";
const PROVIDER: &str = "[[provider]] with name, prefix and source";

/// Reads a configuration. Relative directories of sources are in `directory`, where its file is;
/// `control_dir` is the mount's control directory, if it has one.
///
/// # Errors
/// The first thing that is wrong, and its line.
pub fn parse(text: &str, directory: &Path, control_dir: Option<&str>) -> Result<Parsed, Wrong> {
    let reader = Reader { text, directory };
    let root = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| reader.line(span.start));
        Wrong::new(line, format!("not TOML: {}", error.message()))
    })?;
    let parsed = reader.document(root.get_ref())?;
    parsed.config.check(control_dir).map_err(|refused| {
        let lines = parsed.lines.get(refused.provider);
        let line = lines.and_then(|lines| match refused.part {
            Part::Whole => Some(lines.whole),
            Part::Name => Some(lines.name),
            Part::Prefix(index) => lines.prefixes.get(index).copied(),
        });
        Wrong::new(line.unwrap_or(1), refused.what)
    })?;
    Ok(parsed)
}

/// One key with its value.
struct Entry<'a> {
    key: &'a str,
    line: usize,
    value: &'a Spanned<DeValue<'a>>,
}

struct Reader<'a> {
    text: &'a str,
    directory: &'a Path,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        line_at(self.text.as_bytes(), offset)
    }

    fn line_of<T>(&self, part: &Spanned<T>) -> usize {
        self.line(part.span().start)
    }

    /// The entries of a table as they stand in the file.
    fn entries<'a>(&self, table: &'a DeTable<'a>) -> Vec<Entry<'a>> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let line = self.line_of(key);
            let key: &std::borrow::Cow<'a, str> = key.get_ref();
            Entry { key, line, value }
        };
        entries.into_iter().map(entry).collect()
    }

    /// The same, of keys that are known.
    fn known_entries<'a>(
        &self,
        table: &'a DeTable<'a>,
        known: &[&'static str],
    ) -> Result<Vec<Entry<'a>>, Wrong> {
        let entries = self.entries(table);
        match entries.iter().find(|entry| !known.contains(&entry.key)) {
            Some(Entry { key, line, .. }) => Err(Wrong::new(*line, unknown(key, known))),
            None => Ok(entries),
        }
    }

    fn document(&self, table: &DeTable<'_>) -> Result<Parsed, Wrong> {
        let mut parsed = Parsed { config: NamespaceConfig::default(), lines: Vec::new() };
        let mut line = 1;
        for entry in self.known_entries(table, &KEYS)? {
            if entry.key == "name" {
                let name = string(&entry, NAME)?;
                if !is_plain_name(name) {
                    let what = format!("{name:?} cannot name a mount: {PLAIN_NAME_RULE}");
                    return Err(Wrong::new(entry.line, what));
                }
                parsed.config.name = Some(name.to_owned());
                continue;
            }
            line = entry.line;
            let DeValue::Array(providers) = entry.value.get_ref() else {
                return Err(Wrong::new(line, mistyped(&entry, &format!("written {PROVIDER}"))));
            };
            for provider in providers {
                let (provider, lines) = self.provider(provider)?;
                parsed.config.providers.push(provider);
                parsed.lines.push(lines);
            }
        }
        match parsed.config.providers.is_empty() {
            true => Err(Wrong::new(line, format!("there is no provider; write {PROVIDER}"))),
            false => Ok(parsed),
        }
    }

    fn provider(&self, value: &Spanned<DeValue<'_>>) -> Result<(ProviderConfig, Lines), Wrong> {
        let whole = self.line_of(value);
        let DeValue::Table(table) = value.get_ref() else {
            let what = format!("provider holds {}; write {PROVIDER}", article(value.get_ref()));
            return Err(Wrong::new(whole, what));
        };
        let entries = self.known_entries(table, &PROVIDER_KEYS)?;
        let find = |key: &str| entries.iter().find(|entry| entry.key == key);
        let Some(named) = find("name") else {
            return Err(Wrong::new(whole, format!("this provider has no name; write {NAME}")));
        };
        let name = string(named, NAME)?.to_owned();
        let needed = |key, example| {
            let what = || format!("provider {name:?} has no {key}; write {example}");
            find(key).ok_or_else(|| Wrong::new(whole, what()))
        };
        let shown = needed("prefix", PREFIX)?;
        let (prefixes, prefix_lines) = self.prefixes(shown)?;
        let sourced = needed("source", SOURCE)?;
        let source = self.source(sourced)?;
        if let Some(entry) = find("credentials") {
            let what = format!("credentials: {}: takes none; leave them out", source.scheme());
            return Err(Wrong::new(entry.line, what));
        }
        let options = match find("options") {
            Some(entry) => self.options(entry, &source)?,
            None => Vec::new(),
        };
        let lines = Lines { whole, name: named.line, prefixes: prefix_lines, source: sourced.line };
        Ok((ProviderConfig { name, prefixes, source, options }, lines))
    }

    fn prefixes(&self, entry: &Entry<'_>) -> Result<(Vec<NetName>, Vec<usize>), Wrong> {
        let right = format!("an array of strings: {PREFIX}");
        let DeValue::Array(values) = entry.value.get_ref() else {
            return Err(Wrong::new(entry.line, mistyped(entry, &right)));
        };
        if values.is_empty() {
            return Err(Wrong::new(entry.line, format!("prefix is empty; it is {right}")));
        }
        let (mut prefixes, mut lines) = (Vec::new(), Vec::new());
        for value in values {
            let line = self.line_of(value);
            let DeValue::String(text) = value.get_ref() else {
                let what = format!("prefix holds {}; it is {right}", article(value.get_ref()));
                return Err(Wrong::new(line, what));
            };
            prefixes.push(parse_prefix(text).map_err(|error| Wrong::new(line, error.0))?);
            lines.push(line);
        }
        Ok((prefixes, lines))
    }

    fn source(&self, entry: &Entry<'_>) -> Result<Source, Wrong> {
        let wrong = |what: String| Wrong::new(entry.line, what);
        let text = string(entry, SOURCE)?;
        if text.contains('\0') {
            return Err(wrong("source has a NUL in it, which no path can have".to_owned()));
        }
        let source = Source::parse(OsStr::new(text)).map_err(|error| wrong(error.0))?;
        source.map_directory(|path| Ok(self.directory.join(path)))
    }

    /// The options as a mini-redirector takes them, and has looked at them.
    fn options(&self, entry: &Entry<'_>, source: &Source) -> Result<Vec<(String, String)>, Wrong> {
        let DeValue::Table(table) = entry.value.get_ref() else {
            let right = "a table: options = { delayed_closes = 64 }";
            return Err(Wrong::new(entry.line, mistyped(entry, right)));
        };
        let mut options = Vec::new();
        for Entry { key, line, value } in self.entries(table) {
            if key == "ro" {
                read_only(value.get_ref()).map_err(|what| Wrong::new(line, what))?;
                continue;
            }
            let values = option_values(key, value.get_ref());
            for value in values.map_err(|what| Wrong::new(line, what))? {
                let pair = (key.to_owned(), value);
                // One by one, to know the line: none depends on another.
                let checked = check_options(source, std::slice::from_ref(&pair));
                checked.map_err(|error| Wrong::new(line, error.0))?;
                options.push(pair);
            }
        }
        Ok(options)
    }
}

/// `ro` is the mount's, as a whole: said of one provider it can only deny it.
fn read_only(value: &DeValue<'_>) -> Result<(), String> {
    match value {
        DeValue::Boolean(false) => Ok(()),
        DeValue::Boolean(true) => Err("option ro: a provider is not read-only by itself; \
             -o ro makes the whole mount so"
            .to_owned()),
        other => Err(format!("option ro is {}; it is false", article(other))),
    }
}

/// One value, or each of an array.
fn option_values(key: &str, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let right = "a boolean, an integer, a string, or an array of strings";
    let wrong = |what: &str| Err(format!("option {key} {what}; it is {right}"));
    match value {
        DeValue::Boolean(flag) => Ok(vec![flag.to_string()]),
        DeValue::Integer(number) => {
            let decimal = i64::from_str_radix(number.as_str(), number.radix());
            match decimal {
                Ok(number) => Ok(vec![number.to_string()]),
                Err(_) => wrong("is an integer of more than 64 bits"),
            }
        }
        DeValue::String(text) => Ok(vec![text.to_string()]),
        DeValue::Array(values) if !values.is_empty() => {
            strings(values).or_else(|other| wrong(&format!("holds {}", article(other))))
        }
        DeValue::Array(_) => wrong("is an empty array"),
        other => wrong(&format!("is {}", article(other))),
    }
}

/// The strings of an array, or what is none.
fn strings<'a>(values: &'a DeArray<'a>) -> Result<Vec<String>, &'a DeValue<'a>> {
    let text = |value: &'a Spanned<DeValue<'a>>| match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        other => Err(other),
    };
    values.iter().map(text).collect()
}

fn string<'a>(entry: &Entry<'a>, example: &str) -> Result<&'a str, Wrong> {
    let wrong = || Wrong::new(entry.line, mistyped(entry, &format!("a string: {example}")));
    entry.value.get_ref().as_str().ok_or_else(wrong)
}

fn mistyped(entry: &Entry<'_>, right: &str) -> String {
    format!("{} is {}; it is {right}", entry.key, article(entry.value.get_ref()))
}

/// `a string`, `an array`.
fn article(value: &DeValue<'_>) -> String {
    let word = value.type_str();
    let article = if word.starts_with(['a', 'i']) { "an" } else { "a" };
    format!("{article} {word}")
}

/// How alike two words are for one to be taken for the other's misspelling.
const ALIKE: f64 = 0.75;

fn unknown(key: &str, known: &[&'static str]) -> String {
    let alike = |word: &&'static str| strsim::jaro_winkler(key, word);
    let closest = known.iter().copied().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    match closest.filter(|word| alike(word) >= ALIKE) {
        Some(word) => format!("there is no key {key:?}; did you mean {word:?}?"),
        None => format!("there is no key {key:?}; known are {}", known.join(", ")),
    }
}
