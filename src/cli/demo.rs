//! `demo`: the tour of cli.md, with the real commands and their real output.
//!
//! Every step is something a user would type; it is run as another process, shown, and checked. The
//! demo never touches its own mount: whatever the mount does, each step has a bound, and at its end
//! nothing is left behind.

mod stage;
mod tour;

use crate::cli::args::DemoArgs;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::print;

/// `minirdr demo`: 0 only if every step was seen to happen.
///
/// # Errors
/// The first step that went otherwise: what was expected and what was seen.
pub fn demo(args: DemoArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let mut stage = stage::Stage::set(environment, args.slowly)?;
    let toured = tour::tour(&mut stage);
    // Whatever happened on the stage, it is cleared before anything is said about it.
    let cleared = stage.clear();
    let steps = toured?;
    cleared?;
    print::answer(&format!("\ndemo: all {steps} steps were seen, and nothing is left behind"))?;
    Ok(Exit::DONE)
}
