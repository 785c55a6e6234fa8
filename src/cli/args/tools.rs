//! The words of the verbs that are about no mount: `demo`, `completions` and `man`.

use clap::Args;
use std::path::PathBuf;

/// `minirdr demo`.
#[derive(Clone, Copy, Debug, Args)]
pub struct DemoArgs {
    /// Keep each step on the screen for a moment, to read along
    #[arg(long)]
    pub slowly: bool,
}

/// `minirdr completions`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: clap_complete::Shell,
}

/// `minirdr man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// The directory; it is made if it is missing
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}
