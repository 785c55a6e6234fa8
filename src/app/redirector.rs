//! From a source and its options to the factory of mini-redirectors: the one place that knows them
//! all.

use crate::app::error::AppError;
use crate::app::options::UsageError;
use crate::app::source::Source;
use crate::base::clock::Clock;
use crate::mrx::calldown::MiniRedirector;
use crate::rdbss::register::RedirectorFactory;
use crate::redirectors::faulty::{FaultPlan, Faulty, FaultyOptions};
use crate::redirectors::local::{Local, LocalOptions};
use crate::redirectors::mapped::{Mapped, Mapping, Names};
use crate::redirectors::memory::{Memory, MemoryOptions, MemoryServer};
use crate::redirectors::options::OptionError;
use std::sync::Arc;

type Options = Vec<(String, String)>;

/// Checks a source with its options, and gives what makes each generation's mini-redirector. What
/// outlives a generation (the memory server's tree) is made here, once.
///
/// # Errors
/// One line that says what is wrong with the source or an option.
pub fn factory(
    source: &Source,
    options: &Options,
    clock: &Arc<dyn Clock>,
) -> Result<RedirectorFactory, AppError> {
    let (mapping, options) =
        Mapping::split(options, SYSTEM).map_err(|error| of(source.scheme(), error))?;
    let inner = match source {
        Source::Memory => memory(&options, clock)?,
        Source::Local(root) => local(root, &options)?,
        Source::Faulty(inner) => {
            let (plan, rest) =
                FaultyOptions::split(&options).map_err(|error| of("faulty", error))?;
            let inner = factory(inner, &rest, clock)?;
            faulty(inner, plan)
        }
        Source::Namespace(_) => return Err(not_one(source).into()),
    };
    Ok(if mapping.is_identity() { inner } else { mapped(inner, mapping) })
}

/// Checks options alone: nothing is made, and no directory looked at.
///
/// # Errors
/// One line that says whose option is wrong, and what would be right.
pub fn check_options(source: &Source, options: &[(String, String)]) -> Result<(), UsageError> {
    match wrong_option(source, options)? {
        Some((scheme, error)) => Err(UsageError(of(scheme, error).message)),
        None => Ok(()),
    }
}

/// The first option that the source's mini-redirector does not know at all, if that is what is
/// wrong with them.
#[must_use]
pub fn unknown_option(source: &Source, options: &[(String, String)]) -> Option<String> {
    match wrong_option(source, options) {
        Ok(Some((_, OptionError::Unknown { key, .. }))) => Some(key),
        Ok(Some((_, OptionError::Invalid { .. })) | None) | Err(_) => None,
    }
}

/// Whose option is wrong, and why.
fn wrong_option(
    source: &Source,
    options: &[(String, String)],
) -> Result<Option<(&'static str, OptionError)>, UsageError> {
    let options = match Mapping::split(options, SYSTEM) {
        Ok((_, options)) => options,
        Err(error) => return Ok(Some((source.scheme(), error))),
    };
    let wrong = match source {
        Source::Memory => MemoryOptions::parse(&options).err(),
        Source::Local(_) => LocalOptions::parse(&options).err(),
        Source::Faulty(inner) => match FaultyOptions::split(&options) {
            Ok((_, rest)) => return wrong_option(inner, &rest),
            Err(error) => Some(error),
        },
        Source::Namespace(_) => return Err(not_one(source)),
    };
    Ok(wrong.map(|error| (source.scheme(), error)))
}

/// Several providers are several mini-redirectors.
fn not_one(source: &Source) -> UsageError {
    UsageError(format!("{source} is no source of one mini-redirector"))
}

/// Whose option it was: a source may be two mini-redirectors, one inside the other. Each has the
/// options of a mapping besides its own.
fn of(redirector: &str, error: OptionError) -> AppError {
    let error = match error {
        OptionError::Unknown { key, mut known } => {
            known.extend(Mapping::KEYS);
            known.sort_unstable();
            OptionError::Unknown { key, known }
        }
        other => other,
    };
    AppError::usage(format!("{redirector}: {error}"))
}

/// Users and groups as the system's name service has them.
const SYSTEM: Names<'static> = Names { user: &user_number, group: &group_number };

fn user_number(name: &str) -> Option<u32> {
    let found = nix::unistd::User::from_name(name);
    let found = found.inspect_err(|error| log::warn!("looking for a user {name:?}: {error}"));
    found.ok().flatten().map(|user| user.uid.as_raw())
}

fn group_number(name: &str) -> Option<u32> {
    let found = nix::unistd::Group::from_name(name);
    let found = found.inspect_err(|error| log::warn!("looking for a group {name:?}: {error}"));
    found.ok().flatten().map(|group| group.gid.as_raw())
}

fn memory(options: &Options, clock: &Arc<dyn Clock>) -> Result<RedirectorFactory, AppError> {
    let options = MemoryOptions::parse(options).map_err(|error| of("memory", error))?;
    let server = MemoryServer::new(clock.clone());
    Ok(Box::new(move || {
        let made: Arc<dyn MiniRedirector> = Arc::new(Memory::new(server.clone(), options));
        made
    }))
}

fn local(root: &std::path::Path, options: &Options) -> Result<RedirectorFactory, AppError> {
    let options = LocalOptions::parse(options).map_err(|error| of("local", error))?;
    Local::probe(root).map_err(|error| AppError::failed(error.to_string()))?;
    let root = root.to_owned();
    Ok(Box::new(move || {
        let made: Arc<dyn MiniRedirector> = Arc::new(Local::new(root.clone(), options.clone()));
        made
    }))
}

fn mapped(inner: RedirectorFactory, mapping: Mapping) -> RedirectorFactory {
    Box::new(move || {
        let made: Arc<dyn MiniRedirector> = Arc::new(Mapped::new(inner(), mapping.clone()));
        made
    })
}

fn faulty(inner: RedirectorFactory, plan: FaultPlan) -> RedirectorFactory {
    Box::new(move || {
        let made: Arc<dyn MiniRedirector> = Arc::new(Faulty::new(inner(), plan.clone()));
        made
    })
}
