//! Listing a directory. The core adds `.` and `..`; mini-redirectors never mention them.

use crate::base::ids::HandleNumber;
use crate::base::status::Status;
use crate::mrx::request::{DirectoryEntry, DirectoryQuery, FileKind};
use crate::rdbss::calldown::call;
use crate::rdbss::context::Context;
use crate::rdbss::device::Device;
use crate::rdbss::objects::srv_open::SrvOpen;
use crate::rdbss::operation::{Answer, Listed};

/// Positions of `.` and `..`: in the gap that [`DirectoryEntry::next`] leaves.
const AFTER_DOT: u64 = 0x7fff_ffff_0000_0001;
const AFTER_DOT_DOT: u64 = 0x7fff_ffff_0000_0002;
/// What the two take of the kernel's buffer: 24 + name rounded up to 8, and READDIRPLUS's 128 more.
const DOTS_BYTES: usize = 2 * (32 + 128);

impl Device {
    pub(in crate::rdbss) fn read_directory(
        &self,
        context: &Context,
        number: HandleNumber,
        from: u64,
        budget_bytes: usize,
        with_files: bool,
    ) -> Result<Answer, Status> {
        let (_, srv_open) = self.handle(number)?;
        if !srv_open.directory {
            return Err(Status::InvalidHandle);
        }
        let mut listing = dots(&srv_open, from);
        let query = DirectoryQuery {
            from: if from == AFTER_DOT || from == AFTER_DOT_DOT { 0 } else { from },
            budget_bytes: if listing.is_empty() {
                budget_bytes
            } else {
                budget_bytes.saturating_sub(DOTS_BYTES).max(1)
            },
            with_files,
        };
        let entries = call(context, "query_directory", || {
            let redirector = srv_open.binding.view.redirector();
            redirector.query_directory(context, srv_open.open(), query)
        })?;
        listing.extend(entries.into_iter().map(|entry| self.listed(&srv_open, entry)));
        Ok(Answer::Listing(listing))
    }

    fn listed(&self, directory: &SrvOpen, entry: DirectoryEntry) -> Listed {
        let file = entry
            .found
            .as_ref()
            .map(|found| self.node_of(&directory.binding.view, &directory.fcb, &entry.name, found));
        Listed {
            name: entry.name.as_bytes().to_vec(),
            number: self.options.tag.node(entry.number).0,
            kind: entry.kind,
            next: entry.next,
            file,
        }
    }
}

fn dots(directory: &SrvOpen, from: u64) -> Vec<Listed> {
    let fcb = &directory.fcb;
    let above = fcb.parent().map_or(fcb.number(), |(parent, _)| parent.number());
    let dot = |name: &[u8], number: u64, next: u64| Listed {
        name: name.to_vec(),
        number,
        kind: FileKind::Directory,
        next,
        file: None,
    };
    let mut dots = Vec::new();
    if from == 0 {
        dots.push(dot(b".", fcb.number().0, AFTER_DOT));
    }
    if from == 0 || from == AFTER_DOT {
        dots.push(dot(b"..", above.0, AFTER_DOT_DOT));
    }
    dots
}
