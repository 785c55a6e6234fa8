//! One running host: builds the parts from a configuration, hands out control, takes the parts down
//! in reverse. The only layer that knows all the others.

mod config;
mod control;
mod control_file;
mod devices;
mod error;
mod events;
mod host;
mod namespace;
mod notify;
pub mod options;
mod redirector;
mod rpc;
pub mod saved;
mod signals;
pub mod source;
pub mod unsent;
pub mod utab;
mod watches;

pub use config::{ConfigReader, MountConfig};
pub use error::AppError;
pub use host::{ExitReport, Ready, run};
pub use namespace::changes::{Changes, Replaced, Step};
pub use namespace::check::{Part, Refused, parse_prefix, parse_provider_options};
pub use namespace::{NamespaceConfig, NetName, ProviderConfig};
pub use notify::{NotifyConfig, NotifyError, hand_over};
pub use options::{MountOptions, UsageError};
pub use redirector::{check_options, unknown_option};
pub use rpc::{RpcOptions, RpcStop};
pub use source::Source;
