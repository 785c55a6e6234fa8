//! The providers a mount has now, and what is under way with each. Pure.
//!
//! A verb writes its intention down before it begins: so two never change one provider at once, and
//! a name or a prefix that is on its way is taken already.

use crate::app::namespace::{NamespaceConfig, NetName, ProviderConfig};
use crate::base::ids::TicketNumber;
pub use crate::mgmt::providers::Deed;
use crate::rdbss::register::RedirectorFactory;
use std::sync::Arc;

impl Deed {
    /// What happens to it, in refusals.
    const fn word(self) -> &'static str {
        match self {
            Self::Add => "added",
            Self::Remove => "removed",
            Self::Replace => "replaced",
        }
    }
}

/// A provider of the mount.
#[derive(Clone)]
pub struct Entry {
    /// What it is.
    pub config: ProviderConfig,
    /// Which of all that the mount ever had: a name may come again.
    pub number: u64,
    /// Makes its mini-redirectors; none while it is being added.
    pub factory: Option<Arc<RedirectorFactory>>,
    /// What is under way.
    pub under_way: Option<(Deed, TicketNumber)>,
}

/// Why a verb is refused; one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy(pub String);

/// The providers of a mount, in the order of its configuration.
#[derive(Default)]
pub struct Book {
    entries: Vec<Entry>,
    last: u64,
    /// Its configuration file is being read again.
    reloading: bool,
}

impl Book {
    /// A number no provider of this mount has had.
    pub fn next_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Its provider of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.config.name == name)
    }

    /// The configuration there is, as a file would have it.
    #[must_use]
    pub fn config(&self) -> NamespaceConfig {
        let providers = self.entries.iter().map(|entry| entry.config.clone()).collect();
        NamespaceConfig { name: None, providers }
    }

    /// Is this a directory above a prefix, or one?
    #[must_use]
    pub fn has_below(&self, directory: &NetName) -> bool {
        let mut prefixes = self.entries.iter().flat_map(|entry| &entry.config.prefixes);
        prefixes.any(|prefix| prefix.is_within(directory))
    }

    /// A provider more, behind the others.
    pub fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// A provider less.
    pub fn take_out(&mut self, number: u64) {
        self.entries.retain(|entry| entry.number != number);
    }

    /// Writes down that a verb is over with a provider.
    pub fn settle(&mut self, number: u64) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.number == number) {
            entry.under_way = None;
        }
    }

    /// Puts another in the place of one.
    pub fn exchange(&mut self, number: u64, new: Entry) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.number == number) {
            *entry = new;
        }
    }

    /// The providers, in this order from now on; those that are not named come last.
    pub fn sort(&mut self, names: &[String]) {
        let place = |entry: &Entry| {
            names.iter().position(|name| *name == entry.config.name).unwrap_or(usize::MAX)
        };
        self.entries.sort_by_key(place);
    }

    /// May a verb begin?
    ///
    /// # Errors
    /// Not while the configuration is read again.
    pub fn may_begin(&self) -> Result<(), Busy> {
        if self.reloading {
            let what = "the configuration file is being read again; try again after that";
            return Err(Busy(what.to_owned()));
        }
        Ok(())
    }

    /// Writes down that something begins with a provider, which is as it was until then.
    ///
    /// # Errors
    /// There is none of this name, or something is under way with it.
    pub fn begin(&mut self, name: &str, deed: Deed, ticket: TicketNumber) -> Result<Entry, Busy> {
        self.may_begin()?;
        let unknown = self.unknown(name);
        let found = self.entries.iter_mut().find(|entry| entry.config.name == name);
        let Some(entry) = found else { return Err(Busy(unknown)) };
        if let Some((deed, ticket)) = entry.under_way {
            let deed = deed.word();
            return Err(Busy(format!(
                "provider \"{name}\" is being {deed} (ticket {ticket}); wait for that first"
            )));
        }
        let was = entry.clone();
        entry.under_way = Some((deed, ticket));
        Ok(was)
    }

    /// That there is no provider of this name, and which there are.
    #[must_use]
    pub fn unknown(&self, name: &str) -> String {
        let names: Vec<&str> = self.entries.iter().map(|entry| &*entry.config.name).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("there is no provider \"{}\" (known: {known})", name.escape_debug())
    }

    /// The configuration file is read again from here on.
    ///
    /// # Errors
    /// A verb is under way, or it is being read already.
    pub fn begin_reload(&mut self) -> Result<(), Busy> {
        if self.reloading {
            return Err(Busy("the configuration file is being read again".to_owned()));
        }
        let busy = self.entries.iter().find_map(|entry| {
            let (deed, ticket) = entry.under_way?;
            Some((entry.config.name.clone(), deed.word(), ticket))
        });
        if let Some((name, deed, ticket)) = busy {
            return Err(Busy(format!("provider \"{name}\" is being {deed} (ticket {ticket})")));
        }
        self.reloading = true;
        Ok(())
    }

    /// It has been read.
    pub fn end_reload(&mut self) {
        self.reloading = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::namespace::check::parse_prefix;
    use crate::app::source::Source;

    fn entry(book: &mut Book, name: &str, prefix: &str) -> u64 {
        let number = book.next_number();
        let config = ProviderConfig {
            name: name.to_owned(),
            prefixes: vec![parse_prefix(prefix).expect("good")],
            source: Source::Memory,
            options: Vec::new(),
        };
        book.push(Entry { config, number, factory: None, under_way: None });
        number
    }

    #[test]
    fn one_verb_at_a_time_changes_a_provider() {
        let mut book = Book::default();
        let a = entry(&mut book, "a", "/x/a");
        entry(&mut book, "b", "/x/b");
        assert_eq!(
            book.begin("c", Deed::Remove, TicketNumber(1)).map(|_| ()),
            Err(Busy("there is no provider \"c\" (known: a, b)".to_owned()))
        );
        assert!(book.begin("a", Deed::Remove, TicketNumber(1)).is_ok());
        let line = "provider \"a\" is being removed (ticket 1); wait for that first";
        let refused = book.begin("a", Deed::Replace, TicketNumber(2)).map(|_| ());
        assert_eq!(refused, Err(Busy(line.to_owned())));
        let line = "provider \"a\" is being removed (ticket 1)";
        assert_eq!(book.begin_reload(), Err(Busy(line.to_owned())));
        book.settle(a);
        assert_eq!(book.begin_reload(), Ok(()));
        let line = "the configuration file is being read again; try again after that";
        let refused = book.begin("b", Deed::Remove, TicketNumber(3)).map(|_| ());
        assert_eq!(refused, Err(Busy(line.to_owned())));
        let line = "the configuration file is being read again";
        assert_eq!(book.begin_reload(), Err(Busy(line.to_owned())));
        book.end_reload();
        assert!(book.begin("b", Deed::Remove, TicketNumber(3)).is_ok());
    }

    #[test]
    fn it_knows_the_directories_above_its_prefixes() {
        let mut book = Book::default();
        let a = entry(&mut book, "a", "/x/y/a");
        let name = |text: &str| parse_prefix(text).expect("good");
        assert!(book.has_below(&name("/x")) && book.has_below(&name("/x/y")));
        assert!(!book.has_below(&name("/x/z")));
        book.take_out(a);
        assert!(!book.has_below(&name("/x")));
    }
}
