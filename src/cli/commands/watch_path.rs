//! `watch`: what changes at a path of a mount, a line each, as it happens.

use crate::base::stop::State;
use crate::cli::args::JsonArgs;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::locate::{self, explain};
use crate::cli::mountinfo::{self, Mount};
use crate::cli::print::{self, Reader};
use crate::cli::table::printable;
use crate::cli::view;
use crate::mgmt::client::{Client, ClientError};
use crate::mgmt::proto::{MountStatus, ProviderStatus, WatchEvent, WatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// `minirdr watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// A mount's name or its mount point
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// A directory or file: absolute within the mount (/docs), or through its mount point
    #[arg(value_name = "PATH")]
    pub path: OsString,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// `minirdr watch`.
///
/// # Errors
/// There is no such mount or path; the user may not watch it; stdout cannot be written.
pub fn watch(args: &WatchArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let target = locate::find(&args.name, environment)?;
    let mut client = target.connect()?;
    let name = target.name.as_str();
    let status = client.status().map_err(|error| explain(name, &error))?;
    let path = within(Path::new(&args.path), &status.device, &locate::read_mounts()?)?;
    let heard = Arc::new(AtomicBool::new(false));
    say_what_is_awaited(&mut client, awaited(&status, &path), &heard);
    let (mut outcome, mut last) = (Ok(Reader::Listening), None);
    let watched = client.watch(path.as_os_str().as_bytes(), &mut |event| {
        outcome = print::answer(&match args.json.json {
            true => one_json(name, &event).to_string(),
            false => line(&event),
        });
        heard.store(true, Ordering::Relaxed);
        last = Some(event.kind);
        match outcome {
            Ok(Reader::Listening) => ControlFlow::Continue(()),
            Ok(Reader::Gone) | Err(_) => ControlFlow::Break(()),
        }
    });
    if outcome? == Reader::Gone {
        return Ok(Exit::DONE);
    }
    match watched {
        Ok(()) if last == Some(WatchKind::Gone) => {
            let path = printable(path.as_os_str().as_bytes());
            Err(Trouble::failed(format!("{name}: {path} is not what it was: the watch has ended")))
        }
        Ok(()) => ended(name),
        // An orderly end takes the socket away; a daemon that was killed leaves it.
        Err(ClientError::Lost { .. }) if target.await_departure() => ended(name),
        Err(error) => Err(explain(name, &error)),
    }
}

/// Says on stderr what a watch waits for that has told nothing yet: so who is refused reads that
/// alone.
fn say_what_is_awaited(client: &mut Client, awaited: Option<String>, heard: &Arc<AtomicBool>) {
    let (mut awaited, heard) = (awaited, heard.clone());
    client.while_waiting(move || {
        if let Some(awaited) = awaited.take().filter(|_| !heard.load(Ordering::Relaxed)) {
            print::note(&awaited);
        }
        ControlFlow::Continue(())
    });
}

/// What a watch of this path waits for before it can tell anything, if its share does not run.
fn awaited(status: &MountStatus, path: &Path) -> Option<String> {
    let has = |share: &&ProviderStatus| !share.aside && path.starts_with(&share.prefix);
    let share = status.providers.iter().find(has);
    let word = match share.map_or(status.state, |share| share.state) {
        State::Startable => "stopped; waiting for its start",
        State::Draining | State::Sealing => "stopping; waiting for its next start",
        State::StartInProgress | State::Started | State::Paused => return None,
    };
    let label = locate::label(&status.name, share.map(|share| &*share.name));
    Some(format!("{label}: {word}"))
}

/// There is nothing left to watch, as with `--watch` of other verbs.
fn ended(name: &str) -> Result<Exit, Trouble> {
    print::note(&format!("{name}: its daemon has ended"));
    Ok(Exit::NOT_RUNNING)
}

/// The path within the mount of this device. One that leads through a mount point of it is cut off
/// there, without a look inside.
fn within(path: &Path, device: &str, mounts: &[Mount]) -> Result<PathBuf, Trouble> {
    if path.as_os_str().is_empty() {
        return Err(Trouble::usage("a PATH cannot be empty; / is the root of the mount"));
    }
    let resolved = locate::resolve(path, mounts)?;
    // The innermost mount on the way is the one the path is in.
    let mount = resolved.ancestors().find_map(|above| mountinfo::at(mounts, above));
    if let Some(mount) = mount.filter(|mount| mount.is_ours() && mount.device == device)
        && let Ok(below) = resolved.strip_prefix(&mount.mount_point)
    {
        return Ok(plain(&mount.root.join(below)));
    }
    if path.is_absolute() {
        return Ok(plain(path));
    }
    Err(Trouble::usage(format!(
        "{} is not in the mount: a path is absolute within it, or leads through its mount point",
        printable(path.as_os_str().as_bytes())
    )))
}

/// Without `.` and `..`: nobody is asked what is a symbolic link in the mount.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(word) => plain.push(word),
            Component::ParentDir => drop(plain.pop()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    plain
}

/// The JSON of one line.
pub(in crate::cli) fn one_json(name: &str, event: &WatchEvent) -> Value {
    view::envelope("watch", &json!({ "name": name, "event": event }))
}

/// `2026-11-21T01:12:07.123Z  modified    /docs/plan.txt`.
fn line(event: &WatchEvent) -> String {
    let kind = match view::shaped(&event.kind) {
        Value::String(kind) => kind,
        _ => "unknown".to_owned(),
    };
    let bytes = event.path_bytes.as_ref().and_then(|bytes| STANDARD.decode(bytes).ok());
    let path = printable(bytes.as_deref().unwrap_or(event.path.as_bytes()));
    let lost = event.lost.map(|lost| format!("  lost={lost}")).unwrap_or_default();
    format!("{}  {kind:<10}  {path}{lost}", event.at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts() -> Vec<Mount> {
        mountinfo::parse(
            b"22 1 254:1 / / rw - ext4 /dev/vda1 rw\n\
              41 22 0:38 / /mnt/bk rw - fuse.minirdr memory: rw,user_id=0\n\
              42 22 0:38 /sub /srv/part rw - fuse.minirdr memory: rw,user_id=0\n\
              43 41 0:39 / /mnt/bk/other rw - tmpfs none rw\n",
        )
    }

    #[test]
    fn a_path_leads_through_a_mount_point_or_is_within_the_mount() {
        let within = |path: &str| within(Path::new(path), "0:38", &mounts()).expect("a path");
        for (path, found) in [
            ("/mnt/bk", "/"),
            ("/mnt/bk/docs/", "/docs"),
            ("/mnt/bk/docs/../a/./b", "/a/b"),
            ("/srv/part/deep", "/sub/deep"),
            ("/docs", "/docs"),
            ("/", "/"),
            ("/docs/../../x", "/x"),
        ] {
            assert_eq!(within(path), Path::new(found), "{path}");
        }
        // Another file system is mounted there: it is the path within the mount, if anything.
        assert_eq!(within("/mnt/bk/other/x"), Path::new("/mnt/bk/other/x"));
    }

    #[test]
    fn a_relative_path_must_lead_into_the_mount() {
        let refused = within(Path::new("docs"), "0:38", &mounts()).expect_err("nowhere");
        assert_eq!(refused.exit, Exit::USAGE);
        let refused = within(Path::new(""), "0:38", &mounts()).expect_err("no path");
        assert_eq!(refused.exit, Exit::USAGE);
        assert!(refused.message.contains("PATH cannot be empty"), "{refused}");
    }

    #[test]
    fn an_event_is_one_line_whatever_its_path_is_made_of() {
        let event = |kind, path: &[u8], lost| {
            let (path, path_bytes) = crate::mgmt::watch::path_fields(path);
            WatchEvent { at: "T".to_owned(), kind, path, path_bytes, lost }
        };
        assert_eq!(line(&event(WatchKind::Created, b"/a b", None)), "T  created     /a b");
        assert_eq!(
            line(&event(WatchKind::Overflow, b"/\xff\n", Some(7))),
            "T  overflow    /\\xff\\x0a  lost=7"
        );
    }
}
