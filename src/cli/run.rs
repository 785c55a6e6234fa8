//! One command, from its words to its exit code.

use crate::cli::args::{self, Parsed, Verb};
use crate::cli::commands::{
    events, generate, handles, metrics, mount, provider, rpc, show, start, stop, unsent, wait,
    watch_path,
};
use crate::cli::environment::{self, Environment};
use crate::cli::exit::{Exit, Trouble};
use crate::cli::helper::{self, Role};
use crate::cli::{demo, doctor, print, view};
use std::ffi::OsString;

/// What a daemon does once it serves, besides serving: what of the program is not the library's.
pub type Serving = fn() -> Result<(), String>;

/// Runs this process's command; a daemon calls `serving` once it serves. What went wrong is one
/// line on stderr, and with `--json` an object on stdout.
#[must_use]
pub fn run(serving: Serving) -> Exit {
    let words = environment::words();
    if let Some(role) = Role::of(&words) {
        return helper::run(role, &words);
    }
    match run_words(&words, serving) {
        Ok(exit) => exit,
        Err(trouble) => {
            if args::wants_json(&words) {
                let verb = words.get(1).map(|word| word.to_string_lossy()).unwrap_or_default();
                // The line below says it too; that stdout cannot be written is no news then.
                let _ = print::answer(&view::trouble(&verb, &trouble).to_string());
            }
            print::complain(&trouble.message);
            trouble.exit
        }
    }
}

fn run_words(words: &[OsString], serving: Serving) -> Result<Exit, Trouble> {
    let verb = match args::parse(words)? {
        Parsed::Text(text) => return print::answer(&text).map(|_| Exit::DONE),
        Parsed::Verb(verb) => *verb,
    };
    let environment = Environment::read()?;
    match &verb {
        Verb::Mount(args) => mount::mount(args, words, &environment, serving),
        Verb::List(args) => show::list(args, &environment),
        Verb::Status(args) => show::status(args, &environment),
        Verb::Handles(args) => handles::handles(args, &environment),
        Verb::Requests(args) => show::requests(args, &environment),
        Verb::Stop(args) => stop::stop(args, &environment),
        Verb::Start(args) => start::start(args, &environment),
        Verb::Pause(args) => start::pause(args, &environment),
        Verb::Resume(args) => start::resume(args, &environment),
        Verb::Wait(args) => wait::wait(args, &environment),
        Verb::Events(args) => events::events(args, &environment),
        Verb::Watch(args) => watch_path::watch(args, &environment),
        Verb::Metrics(args) => metrics::metrics(args, &environment),
        Verb::Umount(args) => stop::umount(args, &environment),
        Verb::Provider(args) => provider::provider(args, &environment),
        Verb::Rpc(args) => rpc::rpc(args, &environment),
        Verb::Unsent(args) => unsent::unsent(args, &environment),
        Verb::Demo(args) => demo::demo(*args, &environment),
        Verb::Doctor(args) => doctor::doctor(*args, &environment),
        Verb::Completions(args) => generate::completions(args),
        Verb::Man(args) => generate::man(args),
        Verb::InstallHelpers(args) => helper::install::install(args, &environment),
    }
}
