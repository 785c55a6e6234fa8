//! Every callout of the contract, by name: what a fault can be put on.

use std::fmt;

macro_rules! callouts {
    ($($variant:ident = $name:literal $(, $quiet:ident)?;)+) => {
        /// A callout of [`MiniRedirector`](crate::mrx::calldown::MiniRedirector).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Callout {
            $(#[doc = concat!("`", $name, "`.")] $variant,)+
        }

        impl Callout {
            /// All of them, in the order of the contract.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// Its method's name, which is its key in the options.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Can it return an error?
            #[must_use]
            pub const fn can_fail(self) -> bool {
                match self {
                    $(Self::$variant => callouts!(@can_fail $($quiet)?),)+
                }
            }
        }
    };
    (@can_fail quiet) => { false };
    (@can_fail) => { true };
}

callouts! {
    Start = "start";
    Stop = "stop";
    DeviceControl = "device_control";
    CreateSrvCall = "create_srv_call";
    FinalizeSrvCall = "finalize_srv_call", quiet;
    CreateVNetRoot = "create_v_net_root";
    FinalizeVNetRoot = "finalize_v_net_root", quiet;
    Lookup = "lookup";
    MakeNode = "make_node";
    Link = "link";
    Unlink = "unlink";
    RemoveDirectory = "remove_directory";
    Rename = "rename";
    ReadLink = "read_link";
    Create = "create";
    Open = "open";
    ShouldTryToCollapseThisOpen = "should_try_to_collapse_this_open", quiet;
    CollapseOpen = "collapse_open";
    ReclaimOpen = "reclaim_open";
    Cleanup = "cleanup";
    Close = "close";
    Read = "read";
    Write = "write";
    Flush = "flush";
    Commit = "commit";
    Lock = "lock";
    NotifyChangeDirectory = "notify_change_directory";
    QueryFileInformation = "query_file_information";
    SetFileInformation = "set_file_information";
    QueryDirectory = "query_directory";
    QueryVolumeInformation = "query_volume_information";
    QueryExtendedAttribute = "query_extended_attribute";
    ListExtendedAttributes = "list_extended_attributes";
    SetExtendedAttribute = "set_extended_attribute";
    RemoveExtendedAttribute = "remove_extended_attribute";
    Allocate = "allocate";
    Seek = "seek";
    CopyRange = "copy_range";
    QueryLock = "query_lock";
}

impl Callout {
    /// The callout with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|callout| callout.name() == name)
    }
}

impl fmt::Display for Callout {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract's own source is the list: a new callout must be given a name here.
    #[test]
    fn every_callout_of_the_contract_is_here() {
        let contract = include_str!("../../mrx/calldown.rs");
        let (_, methods) = contract.split_once("pub trait MiniRedirector").expect("the trait");
        let names: Vec<&str> = methods
            .lines()
            .filter_map(|line| line.strip_prefix("    fn ")?.split(['(', '<']).next())
            .filter(|name| !["name", "capabilities"].contains(name))
            .collect();
        assert!(names.len() > 30, "the source was understood: {names:?}");
        assert_eq!(names, Callout::ALL.map(Callout::name));
    }
}
