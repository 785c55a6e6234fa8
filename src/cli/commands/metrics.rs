//! `metrics`: what is counted, for a program that scrapes it. Nothing on stdout but the whole
//! answer: a daemon that cannot be asked is an exit code and a line on stderr, never an empty
//! exposition that looks like one.

use crate::cli::args::{Format, MetricsArgs};
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::locate::{self, explain};
use crate::cli::print;
use crate::mgmt::proto::MetricsFormat;

/// `minirdr metrics`.
///
/// # Errors
/// The daemon cannot be asked; stdout cannot be written.
pub fn metrics(args: &MetricsArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let target = locate::find(&args.name, environment)?;
    let format = match args.format {
        Format::Openmetrics => MetricsFormat::Openmetrics,
        Format::Prometheus => MetricsFormat::Prometheus,
    };
    let mut client = target.connect()?;
    let reply = client.metrics(format).map_err(|error| explain(&target.name, &error))?;
    print::answer(&reply.text)?;
    Ok(Exit::DONE)
}
