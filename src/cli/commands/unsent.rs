//! `unsent`: list, replay or discard what did not reach the server; with the daemon where there is
//! one, else from the state directory.

use crate::app::unsent::replay::discarded;
use crate::app::unsent::store::{self, Store, StoreError};
use crate::base::stop::State;
use crate::base::unsent::UnsentOutcome;
use crate::cli::args::UnsentArgs;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::locate::{self, Target, check_name, explain};
use crate::cli::print;
use crate::cli::unsent::{layout, list_json, list_lines, settled, settled_json};
use crate::mgmt::client::{Client, ClientError};
use crate::mgmt::proto::UnsentReply;
use std::path::{Path, PathBuf};

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    List,
    Replay { force: bool },
    Discard,
}

/// `minirdr unsent`.
///
/// # Errors
/// Neither a daemon nor anything kept is there; not permitted; a wrong column.
pub fn unsent(args: &UnsentArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let layout = layout(&args.table)?;
    let json = args.json.json;
    let action = match (args.replay, args.discard) {
        (true, _) => Action::Replay { force: args.force },
        (false, true) => Action::Discard,
        (false, false) => Action::List,
    };
    let daemon = locate::find(&args.name, environment)
        .and_then(|target| target.connect().map(|client| (target, client)));
    let (name, answer) = match daemon {
        Ok((target, client)) => (target.name.clone(), ask(&target, client, action)?),
        Err(trouble) => match kept_without_daemon(args, environment, &trouble) {
            Some((name, state_dir)) => {
                let answer = alone(&name, &state_dir, action)?;
                (name, answer)
            }
            None => return Err(trouble),
        },
    };
    match answer {
        Answer::List(reply) => {
            let text = match json {
                true => list_json(&name, &reply).to_string(),
                false => list_lines(&name, &reply, &layout).join("\n"),
            };
            print::answer(&text)?;
            Ok(Exit::DONE)
        }
        Answer::Done(outcomes) => {
            let settled = settled(&name, &outcomes);
            let word = if action == Action::Discard { "discard" } else { "replay" };
            let text = match json {
                true => settled_json(&name, word, &outcomes).to_string(),
                false => settled.lines.join("\n"),
            };
            print::answer(&text)?;
            Ok(settled.exit)
        }
    }
}

enum Answer {
    List(UnsentReply),
    Done(Vec<UnsentOutcome>),
}

/// With the daemon.
fn ask(target: &Target, mut client: Client, action: Action) -> Result<Answer, Trouble> {
    let failed = |error: ClientError| explain(&target.name, &error);
    match action {
        Action::List => client.unsent().map(Answer::List).map_err(failed),
        Action::Discard => {
            client.discard().map(|reply| Answer::Done(reply.outcomes)).map_err(failed)
        }
        Action::Replay { force } => {
            let state = client.status().map_err(failed)?.state;
            if state != State::Started {
                let (name, word) = (&target.name, state.word());
                return Err(Trouble::not_running(format!(
                    "{name}: {word}; data can be replayed while it is running: \
                     `minirdr start {name}`"
                )));
            }
            client.replay(force).map(|reply| Answer::Done(reply.outcomes)).map_err(failed)
        }
    }
}

/// The state directory to look into, when no daemon is found and the name may be that of one that
/// was.
fn kept_without_daemon(
    args: &UnsentArgs,
    environment: &Environment,
    trouble: &Trouble,
) -> Option<(String, PathBuf)> {
    if trouble.exit != Exit::NOT_RUNNING && trouble.exit != Exit::UNKNOWN {
        return None;
    }
    let name = args.name.to_str().filter(|name| check_name(name).is_ok())?;
    let state_dir = environment.state_dir.join(name);
    state_dir.symlink_metadata().is_ok().then(|| (name.to_owned(), state_dir))
}

/// Without a daemon.
fn alone(name: &str, state_dir: &Path, action: Action) -> Result<Answer, Trouble> {
    let failed = |error: StoreError| {
        let message = format!("{name}: {}", error.line());
        match error.is_permission() {
            true => Trouble::not_permitted(message),
            false => Trouble::failed(message),
        }
    };
    match action {
        Action::List => {
            let entries = store::look(state_dir).map_err(failed)?;
            Ok(Answer::List(UnsentReply { entries, redacted: false }))
        }
        Action::Replay { .. } => Err(Trouble::not_running(format!(
            "{name}: not running; data can be replayed when it is mounted again"
        ))),
        Action::Discard => {
            let Some(store) = Store::open(state_dir).map_err(failed)? else {
                return Ok(Answer::Done(Vec::new()));
            };
            let entries = store.entries().map_err(failed)?;
            let outcomes = entries
                .iter()
                .map(|entry| discarded(entry, store.remove(entry.number).err().map(|e| e.line())))
                .collect();
            store.sync().map_err(failed)?;
            Ok(Answer::Done(outcomes))
        }
    }
}
