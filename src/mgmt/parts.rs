//! The calls of the control interface about a part of the mount: one of its providers.

use crate::base::stop::StopOptions;
use crate::mgmt::authz::Operation;
use crate::mgmt::control::{Part, Whole};
use crate::mgmt::proto::{PartParameters, PauseReply};
use crate::mgmt::providers::{
    AddProviderParameters, RemoveProviderParameters, ReplaceProviderParameters,
};
use crate::mgmt::service::{Call, Service, Trouble};
use std::sync::Arc;

impl Service {
    /// A provider; or the mount, if none is named.
    pub(in crate::mgmt) fn part(
        &self,
        provider: Option<&str>,
    ) -> Result<Arc<dyn Part + '_>, Trouble> {
        match provider {
            None => Ok(Arc::new(Whole(&*self.control))),
            Some(name) => Ok(self.control.provider(name)?),
        }
    }

    /// Are these options of a stop that this peer may ask for?
    pub(in crate::mgmt) fn may_stop(
        &self,
        call: &Call<'_>,
        options: &StopOptions,
    ) -> Result<(), Trouble> {
        check_options(options)?;
        self.authorize(call, Operation::of_stop(options))
    }

    /// `Pause`.
    pub(in crate::mgmt) fn pause(
        &self,
        call: &mut Call<'_>,
        parameters: &PartParameters,
    ) -> Result<(), Trouble> {
        let part = self.part(parameters.provider.as_deref())?;
        call.finish(&PauseReply { result: part.pause(call.peer.caller())? })
    }

    /// `Resume`.
    pub(in crate::mgmt) fn resume(
        &self,
        call: &mut Call<'_>,
        parameters: &PartParameters,
    ) -> Result<(), Trouble> {
        let part = self.part(parameters.provider.as_deref())?;
        call.finish(&PauseReply { result: part.resume(call.peer.caller())? })
    }

    /// `AddProvider`.
    pub(in crate::mgmt) fn add_provider(
        &self,
        call: &mut Call<'_>,
        parameters: &AddProviderParameters,
    ) -> Result<(), Trouble> {
        let provider = &parameters.provider;
        self.begin(call, None, |caller| self.control.add_provider(caller, provider))
    }

    /// `RemoveProvider`.
    pub(in crate::mgmt) fn remove_provider(
        &self,
        call: &mut Call<'_>,
        parameters: RemoveProviderParameters,
    ) -> Result<(), Trouble> {
        let RemoveProviderParameters { provider, options } = parameters;
        self.may_stop(call, &options)?;
        self.begin(call, None, |caller| self.control.remove_provider(caller, &provider, options))
    }

    /// `ReplaceProvider`.
    pub(in crate::mgmt) fn replace_provider(
        &self,
        call: &mut Call<'_>,
        parameters: ReplaceProviderParameters,
    ) -> Result<(), Trouble> {
        let ReplaceProviderParameters { provider, options } = parameters;
        self.may_stop(call, &options)?;
        self.begin(call, None, |caller| self.control.replace_provider(caller, &provider, options))
    }
}

/// Are the times of a stop times? A bound that cannot be kept must not become none.
fn check_options(options: &StopOptions) -> Result<(), Trouble> {
    if options.grace_s.is_some() && options.grace().is_none() {
        return Err(Trouble::parameter("options.grace_s"));
    }
    if options.deadline_s.is_some() && options.deadline().is_none() {
        return Err(Trouble::parameter("options.deadline_s"));
    }
    Ok(())
}
