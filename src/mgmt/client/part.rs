//! Stopping, starting and pausing a mount, or one provider of it.

use crate::base::stop::{Report, StopOptions};
use crate::mgmt::client::{Client, ClientError, Progress};
use crate::mgmt::proto::{CallReply, Method, PartParameters, PauseReply, StopParameters};
use std::ops::ControlFlow;

impl Client {
    /// From here on stop, start, pause, resume, check, wait and status are about this provider of
    /// the mount; none: about the mount.
    pub fn about(&mut self, provider: Option<String>) {
        self.provider = provider;
    }

    pub(super) fn part(&self) -> PartParameters {
        PartParameters { provider: self.provider.clone() }
    }

    /// Asks for a stop and does not wait for its end.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn stop(&mut self, options: &StopOptions) -> Result<CallReply, ClientError> {
        let PartParameters { provider } = self.part();
        self.ask(Method::Stop, &StopParameters { options: options.clone(), provider })
    }

    /// Asks for a stop and waits for its report; `None` when `on_progress` broke off. The stop goes
    /// on whatever happens here.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn stop_streaming(
        &mut self,
        options: &StopOptions,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Option<Report>, ClientError> {
        let PartParameters { provider } = self.part();
        let parameters = StopParameters { options: options.clone(), provider };
        self.call_streaming(Method::Stop, &parameters, on_progress)
    }

    /// Asks for a start and does not wait for its end.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn start(&mut self) -> Result<CallReply, ClientError> {
        self.ask(Method::Start, &self.part())
    }

    /// Asks for a start and waits for its report; `None` when `on_progress` broke off.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn start_streaming(
        &mut self,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Option<Report>, ClientError> {
        self.call_streaming(Method::Start, &self.part(), on_progress)
    }

    /// Refuses new opens from now on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn pause(&mut self) -> Result<PauseReply, ClientError> {
        self.ask(Method::Pause, &self.part())
    }

    /// Takes a pause back, or a stop that is still draining.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn resume(&mut self) -> Result<PauseReply, ClientError> {
        self.ask(Method::Resume, &self.part())
    }
}
