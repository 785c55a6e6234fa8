//! Opening and creating: MRxCreate, and the handle that comes of it.

use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::mrx::request::{Access, Buffering, OpenOptions, Opened};
use crate::mrx::upcall::RequestContext;
use crate::rdbss::calldown::call;
use crate::rdbss::context::Context;
use crate::rdbss::device::Device;
use crate::rdbss::objects::fcb::Binding;
use crate::rdbss::objects::fobx::Fobx;
use crate::rdbss::objects::shared_opens::CollapseKey;
use crate::rdbss::objects::srv_open::SrvOpen;
use crate::rdbss::operation::{Answer, Creation, Node, OpenAnswer};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How OPENDIR opens.
pub(in crate::rdbss) const DIRECTORY_OPTIONS: OpenOptions = OpenOptions {
    access: Access::Read,
    append: false,
    truncate: false,
    direct: false,
    synchronous: false,
    kill_privileges: false,
};

impl Device {
    /// Makes SRV_OPEN and FOBX of a successful open on the server.
    fn new_handle(
        &self,
        context: &Context,
        node: &Node,
        binding: Arc<Binding>,
        opened: Opened,
        kind: (OpenOptions, bool),
        key: Option<CollapseKey>,
    ) -> Result<OpenAnswer, Status> {
        let Opened { extension, buffering } = opened;
        // What a later read or write needs to know of the open, O_TRUNC is not: it has happened.
        let options = OpenOptions { truncate: false, ..kind.0 };
        let srv_open = SrvOpen::new(node.clone(), binding, extension, (options, kind.1), buffering);
        // Before there is a handle: one that a stop counts, or a start reclaims, while the
        // mini-redirector is asked would leave an open in the table that is closed already.
        if let Some(key) = key {
            self.offer_to_share(&srv_open, key);
        }
        self.handle_on(context, &srv_open, buffering)
    }

    /// A handle on an open. If the table is full the handle leaves the open again.
    pub(in crate::rdbss) fn handle_on(
        &self,
        context: &Context,
        srv_open: &Arc<SrvOpen>,
        buffering: Buffering,
    ) -> Result<OpenAnswer, Status> {
        let fobx = Arc::new(Fobx::new(srv_open.clone(), context.caller(), self.clock.now()));
        let Some(handle) = self.handles.insert(fobx) else {
            let _ = self.leave_open(context, srv_open, true);
            return Err(Status::InsufficientResources);
        };
        if srv_open.directory {
            self.directories.fetch_add(1, Ordering::Relaxed);
        }
        Ok(OpenAnswer { handle, buffering: narrowed(buffering, srv_open.options) })
    }

    pub(in crate::rdbss) fn open(
        &self,
        context: &Context,
        node: &Node,
        options: OpenOptions,
        directory: bool,
    ) -> Result<Answer, Status> {
        let binding = self.bound(context, node)?;
        let key = if directory { None } else { self.collapse_key(context, &binding, options) };
        if let Some(key) = &key
            && let Some((srv_open, buffering)) = self.collapse(context, &binding, node, key)
        {
            return Ok(Answer::Opened(self.handle_on(context, &srv_open, buffering)?));
        }
        if options.truncate {
            self.purge_file(context, node);
        }
        let opened = self.or_purge(context, &binding.view, || {
            call(context, "open", || {
                binding.view.redirector().open(context, binding.file(), options)
            })
        })?;
        let kind = (options, directory);
        let open = self.new_handle(context, node, binding, opened, kind, key)?;
        Ok(Answer::Opened(open))
    }

    /// CREATE: makes the file, or opens the one that was made first by another.
    pub(in crate::rdbss) fn create(
        &self,
        context: &Context,
        place: (&Node, &Name),
        creation: Creation,
        options: OpenOptions,
        exclusive: bool,
    ) -> Result<Answer, Status> {
        let (parent, name) = place;
        let above = self.bound(context, parent)?;
        let owner = creation.ownership(context);
        let made = self.or_purge(context, &above.view, || {
            call(context, "create", || {
                above.view.redirector().create(context, above.file(), name, owner, options)
            })
        });
        let (found, opened) = match made {
            Ok(made) => made,
            Err(status) if status.errno() == Errno::EEXIST && !exclusive => {
                return self.open_existing(context, place, options);
            }
            Err(status) => return Err(status),
        };
        let node = self.node_of(&above.view, parent, name, &found);
        // The FCB may have been known already, with an extension of its own.
        let binding = node.node.binding();
        let kind = (options, false);
        let open = self.new_handle(context, &node.node, binding, opened, kind, None)?;
        Ok(Answer::Created(node, open))
    }

    fn open_existing(
        &self,
        context: &Context,
        place: (&Node, &Name),
        options: OpenOptions,
    ) -> Result<Answer, Status> {
        let node = self.find(context, place.0, place.1)?;
        let Answer::Opened(open) = self.open(context, &node.node, options, false)? else {
            return Err(Status::Unsuccessful);
        };
        Ok(Answer::Created(node, open))
    }
}

/// What the kernel may cache: never more than the server allows, less if the application asked.
fn narrowed(buffering: Buffering, options: OpenOptions) -> Buffering {
    Buffering {
        direct: buffering.direct || options.direct,
        keep_cache: buffering.keep_cache && !options.direct,
        no_flush: buffering.no_flush && !options.access.writes(),
        ..buffering
    }
}
