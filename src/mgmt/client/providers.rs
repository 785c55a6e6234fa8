//! What a client asks of a mount's providers.

use crate::base::stop::{Report, StopOptions};
use crate::mgmt::client::{Client, ClientError, Progress};
use crate::mgmt::proto::{CallReply, Method, ProviderWords};
use crate::mgmt::providers::{
    AddProviderParameters, RemoveProviderParameters, ReplaceProviderParameters,
};
use serde_json::Value;
use std::ops::ControlFlow;

/// What is to become of a mount's providers.
#[derive(Clone, Debug)]
pub enum ProviderCall {
    /// One more.
    Add(ProviderWords),
    /// One less.
    Remove(String, StopOptions),
    /// Another in the place of one.
    Replace(ProviderWords, StopOptions),
}

impl ProviderCall {
    fn message(&self) -> (Method, serde_json::Result<Value>) {
        match self.clone() {
            Self::Add(provider) => {
                let parameters = AddProviderParameters { provider };
                (Method::AddProvider, serde_json::to_value(parameters))
            }
            Self::Remove(provider, options) => {
                let parameters = RemoveProviderParameters { provider, options };
                (Method::RemoveProvider, serde_json::to_value(parameters))
            }
            Self::Replace(provider, options) => {
                let parameters = ReplaceProviderParameters { provider, options };
                (Method::ReplaceProvider, serde_json::to_value(parameters))
            }
        }
    }
}

impl Client {
    /// Asks for a change of providers and does not wait for its end.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn change_providers(&mut self, call: &ProviderCall) -> Result<CallReply, ClientError> {
        let (method, parameters) = call.message();
        let parameters = parameters.map_err(|error| self.protocol(error.to_string()))?;
        self.ask(method, &parameters)
    }

    /// Asks for one and waits for its report; `None` when `on_progress` broke off.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn change_providers_streaming(
        &mut self,
        call: &ProviderCall,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Option<Report>, ClientError> {
        let (method, parameters) = call.message();
        let parameters = parameters.map_err(|error| self.protocol(error.to_string()))?;
        self.call_streaming(method, &parameters, on_progress)
    }
}
