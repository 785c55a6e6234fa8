//! A report with a result and nothing else in it.

use minirdr::base::ids::{Caller, Generation};
use minirdr::base::stop::{CallKind, CallResult, Report};

pub fn report(result: CallResult) -> Report {
    let report = Report::new(CallKind::Stop, result, Caller::default());
    Report { generation: Generation(1), ..report }
}
