//! One provider of a mount, as the management plane stops, starts and asks it.

use crate::app::control::HostControl;
use crate::app::namespace::hand_over::pause;
use crate::app::namespace::members::Shown;
use crate::app::namespace::providers::Providers;
use crate::base::ids::Caller;
use crate::base::stop::{Answer, CallResult, Check, HandleInfo, Report, State, StopOptions};
use crate::mgmt::control::{ControlError, Part, WaitFor, wanted_state};
use crate::mgmt::proto::MountStatus;
use std::sync::Arc;
use std::time::Duration;

/// A provider; its devices are those of the moment it was asked for.
pub struct ProviderPart<'a> {
    control: &'a HostControl,
    providers: &'a Providers,
    leader: Arc<Shown>,
    devices: Vec<Arc<Shown>>,
}

impl<'a> ProviderPart<'a> {
    /// The provider of this name.
    ///
    /// # Errors
    /// [`ControlError::Refused`]: there is none.
    pub fn find(
        control: &'a HostControl,
        providers: &'a Providers,
        name: &str,
    ) -> Result<Self, ControlError> {
        let devices = providers.members().of_provider(name);
        let Some(leader) = devices.first().cloned() else {
            return Err(ControlError::Refused(providers.unknown(name)));
        };
        Ok(Self { control, providers, leader, devices })
    }

    /// Who has left never comes back.
    fn must_stay(&self) -> Result<(), ControlError> {
        if self.leader.leaving {
            let name = &self.leader.shown_as;
            let what = format!("{name} has left the mount: it is there for what is still open");
            return Err(ControlError::Refused(what));
        }
        Ok(())
    }
}

impl Part for ProviderPart<'_> {
    fn status(&self) -> MountStatus {
        let leader = self.leader.device.status();
        let mut whole = self.control.status_as(&leader);
        whole.source = self.leader.source.to_string();
        whole.redirector = self.leader.source.scheme().to_owned();
        for shown in &self.devices[1..] {
            shown.add_to(&mut whole);
        }
        whole.providers.extend(self.devices.iter().map(|shown| shown.status()));
        whole
    }

    fn handles(&self, visit: &mut dyn FnMut(HandleInfo) -> bool) {
        let mut goes_on = true;
        for shown in &self.devices {
            if goes_on {
                shown.device.visit_handles(|handle| {
                    goes_on = visit(handle);
                    goes_on
                });
            }
        }
    }

    fn has(&self, path: &[u8]) -> bool {
        self.devices.iter().any(|shown| {
            let rest = path.strip_prefix(&*shown.prefix.to_relative());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    }

    fn check(&self) -> Check {
        let mut whole = self.leader.device.check();
        for shown in &self.devices[1..] {
            shown.add_to_check(&mut whole);
        }
        whole
    }

    fn stop(&self, asked_by: Caller, options: StopOptions) -> Result<Answer<Report>, ControlError> {
        if options.unmount {
            let what = "a provider has no mount point of its own to be unmounted; without \
                        --provider the mount is";
            return Err(ControlError::Refused(what.to_owned()));
        }
        Ok(self.leader.device.stop(asked_by, options)?)
    }

    fn start(&self, asked_by: Caller) -> Result<Answer<Report>, ControlError> {
        self.must_stay()?;
        self.providers.must_serve()?;
        Ok(self.leader.device.start(asked_by)?)
    }

    fn pause(&self, _: Caller) -> Result<CallResult, ControlError> {
        self.must_stay()?;
        let result = self.leader.device.pause()?;
        pause(&self.devices[1..], true);
        Ok(result)
    }

    fn resume(&self, asked_by: Caller) -> Result<CallResult, ControlError> {
        self.must_stay()?;
        let paused = self.leader.device.state() == State::Paused;
        let result = self.leader.device.resume_for(asked_by)?;
        // A stop that is taken back takes theirs back itself.
        if paused {
            pause(&self.devices[1..], false);
        }
        Ok(result)
    }

    fn wait_state(&self, wanted: WaitFor, limit: Duration) -> bool {
        self.leader.device.wait_state(|state| wanted_state(wanted, state), limit)
    }
}
