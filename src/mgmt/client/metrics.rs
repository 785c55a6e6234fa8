//! Asking for the numbers of a mount.

use crate::mgmt::client::{Client, ClientError};
use crate::mgmt::proto::{Method, MetricsFormat, MetricsParameters, MetricsReply};

impl Client {
    /// The numbers of the mount, in that format.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn metrics(&mut self, format: MetricsFormat) -> Result<MetricsReply, ClientError> {
        self.ask(Method::Metrics, &MetricsParameters { format: Some(format) })
    }
}
