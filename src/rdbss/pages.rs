//! The kernel's pages of open files, at a stop: written back while their WRITEs still pass, dropped
//! when nobody can be waiting for one any more.

use crate::base::ids::NodeNumber;
use crate::base::limits::RELEASE_GRACE;
use crate::rdbss::device::Device;

impl Device {
    /// Steps 2 and 5 of a stop (stop.md §4): pages dirtied through shared mappings come as WRITEs,
    /// which pass as cleanup (G3), before the gate is sealed. Queues it, for every file that
    /// somebody has open for writing: no other can be dirty.
    pub(in crate::rdbss) fn write_pages_back(&self) {
        self.flush_pages(true);
    }

    /// Step 9: what is served no more cannot be read from the page cache either.
    ///
    /// Not before: a page that goes from under a reader makes it ask again, and be refused what was
    /// answered while it drained (stop.md §5). By now it has had its moment to take it.
    pub(in crate::rdbss) fn drop_clean_pages(&self) {
        self.flush_pages(false);
        if let Some(kernel) = self.kernel.get()
            && !kernel.cache.settle(RELEASE_GRACE)
        {
            log::warn!("{}: the kernel has not dropped every page yet", self.name());
        }
    }

    fn flush_pages(&self, of_writable: bool) {
        let Some(kernel) = self.kernel.get() else { return };
        // Flat, and sorted once: there may be a million handles.
        let mut open: Vec<(NodeNumber, bool)> = Vec::new();
        self.handles.visit(|_, fobx| {
            let srv_open = fobx.srv_open();
            if !srv_open.directory {
                open.push((srv_open.fcb.number(), srv_open.options.access.writes()));
            }
            true
        });
        open.sort_unstable();
        for of_file in open.chunk_by(|one, other| one.0 == other.0) {
            let writable = of_file.iter().any(|(_, writes)| *writes);
            if let Some((file, _)) = of_file.first().filter(|_| writable == of_writable) {
                kernel.cache.flush_file(*file);
            }
        }
    }
}
