//! `mount.minirdr`: what mount(8), `mount -a` and systemd run to mount a line of fstab.

use crate::app::Source;
use crate::cli::args::{self, Parsed, Verb};
use crate::cli::commands::mount::in_background;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::helper::{called, check_type, enter_namespace, options, parse};
use crate::cli::print;
use clap::Parser;
use std::ffi::OsString;

/// Mount a source on a directory, as mount(8) asks for it
#[derive(Clone, Debug, Parser)]
#[command(name = "mount.minirdr", version, max_term_width = 100)]
pub struct MountHelperArgs {
    /// What to mount: memory:, local:DIR, faulty:SOURCE
    #[arg(value_name = "SOURCE")]
    pub source: OsString,
    /// Where to mount it
    #[arg(value_name = "DIR")]
    pub directory: OsString,
    /// Mount options, comma-separated, as minirdr-mount(1) lists them; those of mount(8) that mean
    /// nothing to a file system are accepted
    #[arg(short = 'o', value_name = "OPTS")]
    pub options: Vec<String>,
    /// Leave out options that nobody knows, instead of refusing them
    #[arg(short)]
    pub sloppy: bool,
    /// Check everything, and mount nothing
    #[arg(short)]
    pub fake: bool,
    /// Accepted: what mount(8) keeps in its own table, it keeps itself
    #[arg(short)]
    pub no_table: bool,
    /// Say what was done
    #[arg(short)]
    pub verbose: bool,
    /// Mount in this mount namespace: a process's number, or a file such as /proc/PID/ns/mnt
    #[arg(short = 'N', value_name = "NAMESPACE")]
    pub namespace: Option<OsString>,
    /// The type: minirdr or fuse.minirdr
    #[arg(short = 't', value_name = "TYPE")]
    pub kind: Option<String>,
}

/// `mount.minirdr`. Returns when the mount answers.
///
/// # Errors
/// One line; nothing was left behind.
pub fn mount(words: &[OsString], mut environment: Environment) -> Result<Exit, Trouble> {
    let Some(args) = parse::<MountHelperArgs>(words)? else { return Ok(Exit::DONE) };
    check_type(args.kind.as_deref())?;
    let source = Source::parse(&args.source)?;
    let checked = options::check(&source, &args.options, args.sloppy)?;
    for key in &checked.ignored {
        print::note(&format!("{}: option {key} is unknown, and left out (-s)", called(words)));
    }
    enter_namespace(args.namespace.as_deref(), &mut environment)?;
    let words = own_words(&args, &checked.text);
    let mut mount = match args::parse(&words)? {
        Parsed::Verb(verb) => match *verb {
            Verb::Mount(mount) => mount,
            other => return Err(Trouble::failed(format!("{other:?} is not mount"))),
        },
        Parsed::Text(text) => return Err(Trouble::failed(text)),
    };
    mount.rehearsal = args.fake;
    let answer = in_background(&mount, &words, &environment)?;
    let mut lines = answer.lines();
    let told = lines.next().unwrap_or_default();
    match (args.verbose, args.fake) {
        (true, true) => drop(print::answer(&format!("{told}: not really, as -f asks"))?),
        (true, false) => drop(print::answer(told)?),
        (false, _) => {}
    }
    // What an earlier mount could not save: nobody who reads it too late can help it.
    lines.for_each(print::note);
    Ok(Exit::DONE)
}

/// The same in the words of `minirdr mount`.
fn own_words(args: &MountHelperArgs, options: &str) -> Vec<OsString> {
    let mut words = ["minirdr", "mount", "-o"].map(OsString::from).to_vec();
    words.push(options.into());
    words.push("--".into());
    words.extend([args.source.clone(), args.directory.clone()]);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parsed(line: &str) -> Result<MountHelperArgs, Trouble> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        parse(&words).map(|args| args.expect("no help"))
    }

    /// The ways mount(8) of util-linux calls a helper, and those its page names.
    #[test]
    fn words_are_those_of_mount_8() {
        MountHelperArgs::command().debug_assert();
        let args = parsed("mount.minirdr memory: /mnt/a,b -sfnv -o rw,user -N /proc/1/ns/mnt");
        let args = args.expect("good");
        assert!(args.sloppy && args.fake && args.no_table && args.verbose);
        assert_eq!(args.namespace.as_deref(), Some("/proc/1/ns/mnt".as_ref()));
        let words = own_words(&args, "rw,user");
        let expected = ["minirdr", "mount", "-o", "rw,user", "--", "memory:", "/mnt/a,b"];
        assert_eq!(words, expected.map(OsString::from));
        let args = parsed("mount.fuse.minirdr memory: /m -t fuse.minirdr -o ro -o noexec");
        assert_eq!(args.expect("good").options, ["ro", "noexec"]);
        for wrong in ["mount.minirdr memory:", "mount.minirdr memory: /m -x", "mount.minirdr"] {
            let trouble = parsed(wrong).expect_err(wrong);
            assert_eq!(trouble.exit, Exit::USAGE);
            assert!(!trouble.message.contains('\n'), "{trouble}");
        }
    }
}
