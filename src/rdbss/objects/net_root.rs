//! NET_ROOT: a share on a server. Its FCB table outlives a generation, because the kernel's numbers
//! do.

use crate::rdbss::objects::fcb_table::FcbTable;
use crate::rdbss::objects::srv_call::SrvCall;
use std::sync::Arc;

/// A share.
pub struct NetRoot {
    /// The server.
    pub srv_call: Arc<SrvCall>,
    /// The files known on it; handed on to the next generation's NET_ROOT of the same share.
    pub fcbs: Arc<FcbTable>,
}
