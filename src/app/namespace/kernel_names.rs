//! The kernel's caches as the router tells them: a prefix is a name in a directory of the router's
//! own, and all that is below it goes with it.

use crate::app::namespace::directories::Directories;
use crate::base::ids::NodeNumber;
use crate::base::limits::HAND_OVER_SETTLE_WAIT;
use crate::base::name::Name;
use crate::front::namespace::{Crossings, Passed};
use crate::front::notifier::CacheNotifier;
use crate::mup::net_name::NetName;
use crate::mup::upcalls::{KernelNames, Purged};
use crate::rdbss::notice::KernelCache;
use crate::rdbss::objects::number_space::Tag;
use std::sync::{Arc, OnceLock};

/// Tells the kernel, once there is one.
#[derive(Default)]
pub struct MountNames {
    kernel: OnceLock<(Arc<CacheNotifier>, Arc<Directories>)>,
    crossings: OnceLock<Arc<Crossings>>,
}

impl MountNames {
    /// The mount is up.
    pub fn attach(&self, notifier: Arc<CacheNotifier>, directories: Arc<Directories>) {
        let _ = self.kernel.set((notifier, directories));
    }

    /// The answers on their way to the kernel.
    pub fn attach_crossings(&self, crossings: Arc<Crossings>) {
        let _ = self.crossings.set(crossings);
    }

    /// Names in directories of shares, which the kernel is to know no longer.
    pub fn forget_names(&self, names: Vec<(NodeNumber, Name)>) {
        if let Some((notifier, _)) = self.kernel.get() {
            names.into_iter().for_each(|(parent, name)| notifier.forget_name(parent, name));
        }
    }

    fn forget(&self, name: &NetName) {
        let Some((notifier, directories)) = self.kernel.get() else { return };
        let (Some(parent), Some(last)) = (name.parent(), name.last()) else {
            return notifier.forget_names();
        };
        let Ok(last) = Name::new(last) else { return };
        notifier.forget_name(node_of(directories, &parent), last);
    }
}

/// The kernel's number of a directory of the router's own.
fn node_of(directories: &Directories, name: &NetName) -> NodeNumber {
    match name.is_root() {
        true => NodeNumber::ROOT,
        false => Tag::SOLE.node(directories.number(name)),
    }
}

impl KernelNames for MountNames {
    /// What is below the prefix needs no word of its own: the kernel drops a directory's names with
    /// it. The directories above may have come or gone with the prefix.
    fn invalidate(&self, prefix: &NetName, _: &Purged) {
        let mut name = prefix.clone();
        loop {
            self.forget(&name);
            match name.parent() {
                Some(parent) if !parent.is_root() => name = parent,
                _ => break,
            }
        }
    }

    fn forget(&self, purged: &Purged) {
        match (self.kernel.get(), purged.more) {
            (Some((notifier, _)), more) if more > 0 => notifier.forget_names(),
            _ => purged.names.iter().for_each(|name| Self::forget(self, name)),
        }
    }

    fn settle(&self, prefix: &NetName) -> bool {
        let Some((notifier, _)) = self.kernel.get() else { return true };
        let mut in_time = notifier.settle(HAND_OVER_SETTLE_WAIT);
        // What was found before the change, and answered after the kernel was told of it, would be
        // believed for as long as its entries live.
        let passed = self.crossings.get().map(|all| all.pass(HAND_OVER_SETTLE_WAIT));
        if passed.is_some_and(|passed| passed != Passed::None) {
            Self::forget(self, prefix);
            in_time &= passed != Some(Passed::NotAll) && notifier.settle(HAND_OVER_SETTLE_WAIT);
        }
        in_time
    }
}
