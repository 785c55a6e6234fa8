//! MUP, the prefix router of one mount: which provider owns a name.
//!
//! A *provider* is a device as the router sees it, a *prefix* a directory of the mount that one
//! provider owns, a *claim* a provider's answer that a name is its, a *route* a remembered claim
//! with the objects behind it. One provider can come, go or be replaced while the others keep
//! serving: what *Shutting Down a Multicast Routing Protocol* asks of interfaces, forwarding
//! entries and IGMP, asked of directories, remembered names and watches. A library: no FUSE, no
//! device, no file and no socket is in it.
//!
//! # What there is
//!
//! - [`Router`](router::Router), one of a mount, made with the three it calls: the
//!   [`Agent`](upcalls::Agent), [`KernelNames`](upcalls::KernelNames) and
//!   [`Upstream`](upcalls::Upstream) of [`Outside`](router::Outside).
//! - `register`, `take`, `release`, `transfer`, `owner`, `deregister`, and `withdraw`, which is
//!   step 6 of a device's stop. They block until the kernel has been told, and answer
//!   [`HandOver`](router::HandOver) or [`Refused`](refused::Refused), which knows its Win32 number.
//! - `resolve` from a [`NetName`](net_name::NetName) to a directory of the router's own, or to a
//!   [`Route`](route::Route) and the caller's view of it. It asks the
//!   [`Provider`](upcalls::Provider), and so may block; `resolve_now` does not. `list` is what is
//!   in the router's own directories; `same_prefix` says EXDEV, `Route::is_current` says ESTALE.
//! - `routes`, `providers`, `occupancy`, `in_transition` for listings.
//! - [`WatchAgent`](watch::WatchAgent), the agent of the live watches: `watch`, `publish`, and a
//!   thread that keeps the owners told, through the router's `add_watch` and `delete_watch`.
//!
//! # A prefix changes hands
//!
//! ```text
//!   Enabled -- take, release, --> Disabling ----> Changing ----> Sending ----> Enabling
//!      ^       transfer           the agent       owner,         the notifier  the agent
//!      |                          lets go         routes,        sends         is back
//!      |                                          queue                           |
//!      +--------------------------------------------------------------------------+
//! ```
//!
//! One at a time for each prefix, those of different prefixes side by side; no lock is held in a
//! callback, and one that calls back is answered 1003 (the machine: [`handover`], the policy:
//! [`owners`], their driver: [`router`]). A resolution never waits for a hand-over, nor a hand-over
//! for a provider: what was asked of the old owner is thrown away when it comes.
//!
//! | file | is |
//! | --- | --- |
//! | [`net_name`], [`prefix`] | names, and the table of prefixes; pure |
//! | [`handover`], [`owners`] | one prefix's way, and who owns what; pure |
//! | [`router`] | their driver |
//! | [`cache`], [`condition`], [`route`] | names remembered; objects made once; shares and views |
//! | [`resolve`] | from a name to a route |
//! | [`watch_tree`], [`watch_queue`] | what is watched, and what waits for a watcher; pure |
//! | [`watch`] | their driver, the agent |

pub mod cache;
mod callbacks;
pub mod condition;
pub mod handover;
pub mod net_name;
pub mod owners;
pub mod prefix;
mod published;
pub mod refused;
pub mod resolve;
pub mod route;
pub mod router;
pub mod upcalls;
pub mod watch;
pub mod watch_queue;
pub mod watch_tree;
