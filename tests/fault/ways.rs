//! How each callout of the contract is reached. By type: a new callout must be listed here.

use minirdr::redirectors::faulty::Callout;

/// What makes the core call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A request of an application.
    Request,
    /// The stop itself.
    Stop,
    /// A start.
    Start,
    /// Nothing, today. [`crate::seeds`] asserts it.
    Never,
}

/// Every way that leads to a callout. No default arm.
pub const fn ways(callout: Callout) -> &'static [Way] {
    match callout {
        Callout::Start | Callout::CreateSrvCall | Callout::CreateVNetRoot => &[Way::Start],
        // The view of an old generation goes when the root is bound to the new one.
        Callout::FinalizeSrvCall | Callout::FinalizeVNetRoot => &[Way::Start],
        Callout::ReclaimOpen => &[Way::Start],
        Callout::Stop => &[Way::Stop],
        Callout::DeviceControl | Callout::NotifyChangeDirectory => &[Way::Never],
        Callout::Commit => &[Way::Request, Way::Stop],
        // A reclaimed handle's old open is closed by the start; closes that wait, by the stop.
        Callout::Cleanup => &[Way::Request, Way::Start],
        Callout::Close => &[Way::Request, Way::Stop, Way::Start],
        Callout::QueryVolumeInformation => &[Way::Request, Way::Start],
        Callout::Lookup
        | Callout::MakeNode
        | Callout::Link
        | Callout::Unlink
        | Callout::RemoveDirectory
        | Callout::Rename
        | Callout::ReadLink
        | Callout::Create
        | Callout::Open
        | Callout::ShouldTryToCollapseThisOpen
        | Callout::CollapseOpen
        | Callout::Read
        | Callout::Write
        | Callout::Flush
        | Callout::Lock
        | Callout::QueryFileInformation
        | Callout::SetFileInformation
        | Callout::QueryDirectory
        | Callout::QueryExtendedAttribute
        | Callout::ListExtendedAttributes
        | Callout::SetExtendedAttribute
        | Callout::RemoveExtendedAttribute
        | Callout::Allocate
        | Callout::Seek
        | Callout::CopyRange
        | Callout::QueryLock => &[Way::Request],
    }
}

/// The callouts that a way leads to.
pub fn reached_by(way: Way) -> impl Iterator<Item = Callout> {
    Callout::ALL.into_iter().filter(move |callout| ways(*callout).contains(&way))
}

/// Does its failure cost nothing? An open that cannot be shared is made on its own.
pub const fn is_tolerated(callout: Callout) -> bool {
    matches!(callout, Callout::ShouldTryToCollapseThisOpen | Callout::CollapseOpen)
}

/// Is its request cleanup: owed, never cancelled by a drain?
pub const fn is_owed(callout: Callout) -> bool {
    matches!(callout, Callout::Commit | Callout::Cleanup | Callout::Close)
}
