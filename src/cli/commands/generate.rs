//! `completions` and `man`: what packagers install, made from the definitions of the verbs.

use crate::cli::args::{CommandLine, CompletionsArgs, ManArgs};
use crate::cli::exit::{EXIT_TABLE, Exit, Trouble};
use crate::cli::helper::pages::helper_pages;
use crate::cli::print;
use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::io;
use std::path::Path;

/// `minirdr completions SHELL`.
///
/// # Errors
/// stdout cannot be written.
pub fn completions(args: &CompletionsArgs) -> Result<Exit, Trouble> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut CommandLine::command(), "minirdr", &mut script);
    print::answer(&String::from_utf8_lossy(&script))?;
    Ok(Exit::DONE)
}

/// `minirdr man DIR`: `minirdr.1` and a page for every verb, and for every word of those that have
/// some.
///
/// # Errors
/// The directory cannot be made, or a page not written.
pub fn man(args: &ManArgs) -> Result<Exit, Trouble> {
    let directory = &args.directory;
    std::fs::create_dir_all(directory)
        .map_err(|error| Trouble::system(format!("make {}", directory.display()), &error))?;
    let pages = pages().map_err(|error| Trouble::system("render the manual pages", &error))?;
    for (name, text) in &pages {
        write_page(directory, name, text)?;
    }
    print::answer(&format!("{} pages in {}", pages.len(), directory.display()))?;
    Ok(Exit::DONE)
}

fn write_page(directory: &Path, name: &str, text: &[u8]) -> Result<(), Trouble> {
    let path = directory.join(name);
    std::fs::write(&path, text)
        .map_err(|error| Trouble::system(format!("write {}", path.display()), &error))
}

/// Every page: file name and text.
pub(in crate::cli) fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut whole = CommandLine::command();
    whole.build();
    let mut pages = vec![("minirdr.1".to_owned(), page(&whole, "minirdr", EXAMPLES)?)];
    for verb in whole.get_subcommands() {
        let name = format!("minirdr-{}", verb.get_name());
        let examples = verb_examples(verb.get_name());
        pages.push((format!("{name}.1"), page(verb, &name, examples)?));
        for word in verb.get_subcommands() {
            let examples = verb_examples(&format!("{} {}", verb.get_name(), word.get_name()));
            let name = format!("{name}-{}", word.get_name());
            pages.push((format!("{name}.1"), page(word, &name, examples)?));
        }
    }
    pages.extend(helper_pages()?);
    Ok(pages)
}

/// One page, with the sections clap does not know.
fn page(command: &clap::Command, name: &str, examples: &[(&str, &str)]) -> io::Result<Vec<u8>> {
    let is_whole = name == "minirdr";
    let man = Man::new(command.clone()).source(concat!("minirdr ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    if is_whole || name == "minirdr-mount" {
        section("MOUNT OPTIONS", MOUNT_OPTIONS).to_writer(&mut text)?;
    }
    exit_status().to_writer(&mut text)?;
    if is_whole || name == "minirdr-mount" {
        section("SIGNALS", SIGNALS).to_writer(&mut text)?;
    }
    section("ENVIRONMENT", ENVIRONMENT).to_writer(&mut text)?;
    section("FILES", FILES).to_writer(&mut text)?;
    section("EXAMPLES", examples).to_writer(&mut text)?;
    Ok(text)
}

/// A section of terms, each with its sentence.
pub(in crate::cli) fn section(title: &str, terms: &[(&str, &str)]) -> Roff {
    let mut roff = Roff::default();
    roff.control("SH", [title]);
    for (term, sentence) in terms {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*sentence)]);
    }
    roff
}

fn exit_status() -> Roff {
    let mut roff = Roff::default();
    roff.control("SH", ["EXIT STATUS"]);
    for (exit, sentence) in EXIT_TABLE {
        roff.control("TP", []);
        roff.text([bold(exit.0.to_string())]);
        roff.text([roman(sentence)]);
    }
    roff
}

pub(in crate::cli) const MOUNT_OPTIONS: &[(&str, &str)] = &[
    (
        "ro, rw, exec, noexec, suid, nosuid, dev, nodev, sync, noatime, …",
        "as for mount(8); nosuid and nodev unless told otherwise",
    ),
    ("allow_other", "other users may come in"),
    ("no_default_permissions", "leave checks to the mini-redirector; memory and local never do"),
    ("name=NAME", "the mount's name, as --name"),
    (
        "entry_timeout=T, attr_timeout=T, negative_timeout=T",
        "how long the kernel keeps names (1s), attributes (1s), and the absence of names (0)",
    ),
    (
        "lease_timeout=T",
        "how long it keeps all three where the server says what others change (10s; where one of \
         the three is given, those)",
    ),
    ("control_dir=NAME|off", "the hidden directory of the control file (.minirdr)"),
    (
        "control_group=NAME|GID",
        "members may stop, start, pause and resume it and see paths, as root and its owner may",
    ),
    (
        "control_allow=WHO:WHAT[+WHAT…], control_deny=WHO:WHAT[+WHAT…]",
        "change what the group, or other users, may: WHO is group or other, WHAT one of inquire, \
         read, stop, abort, detach, start, pause, resume, change-providers, settle, see-paths \
         and the rpc- words of docs/MANAGEMENT.md",
    ),
    (
        "stop_grace=T",
        "how long open handles keep working when a signal or an unmount asks for a stop (0)",
    ),
    ("stop_deadline=T|infinity", "bound of such a stop (90s)"),
    ("on_deadline=resume|stay|cancel|abort", "what such a stop does at its deadline (cancel)"),
    ("request_deadline=T|off", "bound of every request (60s)"),
    ("survivors=reclaim|stale", "what start does with handles that outlived a stop (reclaim)"),
    ("fuse_threads=N", "threads that serve the kernel (4)"),
    ("fsname=TEXT", "the source column of df and findmnt"),
    ("x-*, auto, noauto, nofail, _netdev, defaults, user, …", "accepted as for mount(8)"),
    (
        "uid=USER, gid=GROUP",
        "show every file as this user's, this group's; on the server it stays whose it was, and \
         what is made is its maker's",
    ),
    (
        "map=FROM/TO[:@FROM/@TO…]",
        "show the server's user FROM as TO, its group @FROM as @TO, and tell the server of TO as \
         FROM; names, numbers, or a range as 1000-1999/5000",
    ),
    (
        "umask=M, fmask=M, dmask=M",
        "permission bits, octal, that nothing has, no file, no directory",
    ),
    ("anything else", "goes to the mini-redirector, which refuses what it does not know"),
];

const SIGNALS: &[(&str, &str)] = &[
    (
        "TERM",
        "the daemon stops with the configured grace and deadline, unmounts, \
         and exits 0 if all was saved",
    ),
    ("INT", "the same; a second INT is mode cancel"),
    ("QUIT", "mode abort"),
    ("HUP", "reopens the log, and reads the file of --config again: what changed of it is changed"),
    ("USR1", "writes the state to the log"),
    ("USR2", "toggles debug logging"),
];

pub(in crate::cli) const ENVIRONMENT: &[(&str, &str)] = &[
    ("MINIRDR_LOG", "how much is logged: error, warn, info, debug, trace"),
    (
        "XDG_RUNTIME_DIR",
        "sockets are in its directory minirdr; root uses it only outside of /run/user",
    ),
    ("XDG_STATE_HOME", "what a stop could not save is kept in its directory minirdr"),
];

const FILES: &[(&str, &str)] = &[
    ("/run/minirdr/NAME.sock", "root's control sockets"),
    ("$XDG_RUNTIME_DIR/minirdr/NAME.sock, /tmp/minirdr-UID/NAME.sock", "a user's control sockets"),
    (
        "/var/lib/minirdr/NAME/unsent, ~/.local/state/minirdr/NAME/unsent",
        "what a stop could not save: a record N.json and the bytes in N.data for each write",
    ),
    (
        "/var/lib/minirdr/NAME/mount.json, ~/.local/state/minirdr/NAME/mount.json",
        "how it is mounted, until its daemon ends in order; `minirdr doctor` reads what is left",
    ),
];

const EXAMPLES: &[(&str, &str)] = &[
    ("minirdr demo", "shows it all in a minute"),
    ("minirdr mount local:/srv/data /mnt/bk", "serves a directory as if it were remote"),
    ("minirdr stop bk --check", "who would be in the way?"),
    (
        "minirdr stop bk --wait --deadline 30s --on-deadline resume",
        "stops, or leaves all as it was",
    ),
    ("minirdr start bk", "brings it back under the same mount"),
    ("minirdr umount bk && poweroff", "returns when all is saved"),
];

type Examples = &'static [(&'static str, &'static str)];

fn provider_examples(verb: &str) -> Examples {
    match verb {
        "provider list" => &[("minirdr provider list net", "what is shown where, and how it is")],
        "provider add" => &[(
            "minirdr provider add net --provider docs --prefix /srv1/docs --source local:/srv/docs",
            "one more source, under one more path",
        )],
        "provider remove" => &[
            ("minirdr provider remove net --provider docs", "in the orderly way, and waits for it"),
            (
                "minirdr provider remove net --provider docs --if-busy=refuse",
                "only when nobody has anything of it open",
            ),
        ],
        "provider replace" => &[(
            "minirdr provider replace net --provider docs --source local:/srv/docs2",
            "the next open has the new bytes; the path is there all the time",
        )],
        _ => &[("minirdr provider list net -o PROVIDER,PREFIX -n", "for scripts")],
    }
}

fn verb_examples(verb: &str) -> Examples {
    match verb {
        verb if verb.starts_with("provider") => provider_examples(verb),
        "mount" => &[
            ("minirdr mount memory: /mnt/m", "a tree in the daemon's memory"),
            ("minirdr mount local:/srv/data /mnt/bk -o ro,allow_other", "read-only, for everybody"),
            (
                "minirdr mount --config /etc/minirdr/net.toml /net",
                "several providers, as a file says",
            ),
            ("minirdr mount -f memory: /mnt/m", "in the foreground, logging to stderr"),
            (
                "minirdr mount local:/srv/data /mnt/bk -o control_group=storage",
                "members of the group storage may stop and start it",
            ),
        ],
        "list" => &[("minirdr list -n -o NAME,STATE", "for scripts")],
        "status" => &[("minirdr status /mnt/bk --json", "by mount point, as JSON")],
        "handles" => &[("minirdr handles bk --watch", "a line for whoever comes and goes")],
        "requests" => &[("minirdr requests bk", "what runs, and for whom")],
        "stop" => &[
            ("minirdr stop bk --check", "who would be in the way? Nothing is changed"),
            ("minirdr stop bk", "answers at once: pending, stopped, or already so"),
            ("minirdr stop bk --grace 5m --wait", "open handles keep working for five minutes"),
            (
                "minirdr stop bk --wait --deadline 30s --on-deadline resume",
                "or leave all as it was",
            ),
            ("minirdr stop bk --if-busy=refuse --wait", "only when nobody is inside"),
        ],
        "start" => &[("minirdr start bk", "the same mount, and bind mounts of it, work again")],
        "pause" => &[("minirdr pause bk", "new opens are refused from now on")],
        "resume" => &[("minirdr resume bk", "takes a pause or a draining stop back")],
        "wait" => &[
            ("minirdr wait bk", "until the running stop or start ends"),
            ("minirdr wait bk --for running --timeout 30s", "until it serves, for 30 seconds"),
        ],
        "events" => &[("minirdr events bk -f --json", "one JSON object a line, as it happens")],
        "watch" => &[
            ("minirdr watch bk /docs", "a line for whatever happens in that directory"),
            ("minirdr watch bk /mnt/bk/docs/plan.txt --json", "of one file, an object a line"),
        ],
        "metrics" => &[
            ("minirdr metrics bk", "OpenMetrics text"),
            ("minirdr metrics bk --format prometheus", "for node_exporter's textfile collector"),
        ],
        "umount" => &[
            ("minirdr umount /mnt/bk", "returns when all is saved"),
            ("minirdr umount -f bk", "cancels what waits, and gives up after 5 s"),
        ],
        _ => tool_examples(verb),
    }
}

fn tool_examples(verb: &str) -> Examples {
    match verb {
        "rpc" => &[
            ("minirdr rpc bk status", "does it listen, where, how many calls were there?"),
            ("minirdr rpc bk listen", "listens again after a stop of its listening"),
        ],
        "unsent" => &[
            ("minirdr unsent bk", "what the last stop could not save, and why"),
            ("minirdr unsent bk --replay", "puts it on the server, oldest first"),
            ("minirdr unsent bk -o FILE -n", "the files that have the bytes, for scripts"),
        ],
        "demo" => &[("minirdr demo --slowly", "with time to read")],
        "doctor" => &[("minirdr doctor", "what is missing, and how to install it")],
        "completions" => &[(
            "minirdr completions bash > /etc/bash_completion.d/minirdr",
            "for every user of bash",
        )],
        "install-helpers" => &[
            ("minirdr install-helpers", "as root: for this machine, and this program"),
            (
                "minirdr install-helpers --root debian/minirdr --program /usr/bin/minirdr",
                "into the tree of a package",
            ),
            ("minirdr install-helpers --uninstall", "takes away what was put there, and no more"),
        ],
        _ => &[("minirdr man /usr/local/share/man/man1", "then: man minirdr-stop")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_with_its_exit_status_and_an_example_of_its_own() {
        let pages = pages().expect("memory only");
        let words: usize = CommandLine::command()
            .get_subcommands()
            .map(|verb| 1 + verb.get_subcommands().count())
            .sum();
        let helpers = 2;
        assert_eq!(pages.len(), 1 + words + helpers);
        for (name, text) in &pages {
            let text = String::from_utf8(text.clone()).expect("pages are text");
            let text = text.replace("\\-", "-");
            for part in ["SH NAME", "SH SYNOPSIS", "SH \"EXIT STATUS\"", "SH EXAMPLES", "SH FILES"]
            {
                assert!(text.contains(part), "{name} lacks {part}");
            }
            let page = name.trim_end_matches(".1").trim_end_matches(".8");
            // A verb of two words is a page with a hyphen; one with a hyphen is, too.
            let spaced = page.replace('-', " ").replace("install helpers", "install-helpers");
            let verb = if name.ends_with(".8") { page } else { &spaced };
            assert!(text.contains(verb), "{name} shows {verb}");
        }
    }
}
