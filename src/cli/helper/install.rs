//! `minirdr install-helpers`: what mount(8), umount(8), systemd, man and shells look for, put where
//! they look for it.
//!
//! All of it is looked at before anything is written, and what was not put there by this verb is
//! never overwritten. What was is on a list (`share/minirdr/helpers.list`), directories too, so
//! that `--uninstall` leaves nothing. Doing it again changes what has changed, and no more.

use crate::cli::args::CommandLine;
use crate::cli::commands::generate;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::helper::NAMES;
use crate::cli::helper::ledger::{Content, Item, Ledger};
use crate::cli::print;
use crate::cli::table::printable;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// `minirdr install-helpers`.
#[derive(Clone, Debug, Args)]
pub struct InstallArgs {
    /// Install below this directory instead of /, as for a package or an image
    #[arg(long, value_name = "DIR", default_value = "/", hide_default_value = true)]
    pub root: PathBuf,
    /// The program that the helpers are links to, as it is named when they are used; default: this
    /// one
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Take away what was installed
    #[arg(long)]
    pub uninstall: bool,
}

/// The unit of one mount as a service.
const UNIT: &str = include_str!("../../../contrib/systemd/minirdr@.service");

/// Where the parts of a system are that go beside a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    /// Of a package.
    System,
    /// Of whatever else was put on the machine.
    Local,
}

impl Prefix {
    fn of(program: &Path) -> Self {
        match program.parent() {
            Some(parent) if parent == Path::new("/usr/bin") || parent == Path::new("/bin") => {
                Self::System
            }
            _ => Self::Local,
        }
    }

    const fn directory(self) -> &'static str {
        match self {
            Self::System => "usr",
            Self::Local => "usr/local",
        }
    }

    /// The list of what was installed.
    fn ledger(self, root: &Path) -> PathBuf {
        root.join(self.directory()).join("share/minirdr/helpers.list")
    }
}

/// `minirdr install-helpers`.
///
/// # Errors
/// Something is there that is not ours, or the system refuses; then nothing was changed, or what
/// was is on the list.
pub fn install(args: &InstallArgs, environment: &Environment) -> Result<Exit, Trouble> {
    let failed = |error: std::io::Error| Trouble::system(args.root.display(), &error);
    let root = std::fs::canonicalize(&args.root).map_err(failed)?;
    if args.uninstall {
        return uninstall(&root);
    }
    let program = program(args, environment, &root)?;
    let prefix = Prefix::of(&program);
    let items = items(&root, &program, prefix)?;
    let mut ledger = Ledger::read(&root, prefix.ledger(&root))?;
    let other = match prefix {
        Prefix::System => Prefix::Local,
        Prefix::Local => Prefix::System,
    };
    ledger.check(&items, &Ledger::read(&root, other.ledger(&root))?)?;
    check_owner(&root, &program)?;
    let changed = ledger.install(&items)?;
    let line = match changed {
        0 => format!("nothing to do: {} helpers and their files are in place", NAMES.len()),
        _ => format!("{changed} of {} files put in place", items.len()),
    };
    let shown = printable(root.as_os_str().as_bytes());
    let named = printable(program.as_os_str().as_bytes());
    print::answer(&format!("{shown}: {line}, for {named}"))?;
    if !everybody_may_run(&root, &program) {
        print::note(&format!(
            "minirdr: users other than root cannot run {named}: put it into /usr/local/bin, and do \
             this again from there"
        ));
    }
    Ok(Exit::DONE)
}

/// Is it root's alone to change what `mount -a` is to run as root? In an image or a package others
/// see to that.
///
/// # Errors
/// Whose it is, or who may write there.
fn check_owner(root: &Path, program: &Path) -> Result<(), Trouble> {
    if root != Path::new("/") || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    // Where the name leads through links, what counts is each of both ways.
    let real = std::fs::canonicalize(program).unwrap_or_else(|_| program.to_owned());
    for way in program.ancestors().chain(real.ancestors()) {
        let Ok(it) = way.symlink_metadata() else { continue };
        let is_link = it.file_type().is_symlink();
        if it.uid() == 0 && (is_link || it.mode() & 0o022 == 0 || it.mode() & 0o1000 != 0) {
            continue;
        }
        let (way, named) = (way.as_os_str().as_bytes(), program.as_os_str().as_bytes());
        return Err(Trouble::failed(format!(
            "others than root can change {}, and mount(8) would run {} as root: nothing was \
             changed; `install` it to /usr/local/bin, and do this again from there",
            printable(way),
            printable(named)
        )));
    }
    Ok(())
}

/// May everybody run the program? The helpers of a user's mounts are run as that user. One that is
/// not there yet is a package's.
fn everybody_may_run(root: &Path, program: &Path) -> bool {
    let place = root.join(program.strip_prefix("/").unwrap_or(program));
    let ways = place.ancestors().take_while(|way| way.starts_with(root));
    let may_pass = |way: &Path| std::fs::metadata(way).map_or(true, |it| it.mode() & 0o001 != 0);
    ways.into_iter().all(may_pass)
}

fn uninstall(root: &Path) -> Result<Exit, Trouble> {
    let mut removed = 0;
    for prefix in [Prefix::System, Prefix::Local] {
        removed += Ledger::read(root, prefix.ledger(root))?.uninstall()?;
    }
    let shown = printable(root.as_os_str().as_bytes());
    print::answer(&match removed {
        0 => format!("{shown}: nothing to do: nothing is installed"),
        _ => format!("{shown}: {removed} files taken away"),
    })?;
    Ok(Exit::DONE)
}

/// The program, as it is named where `root` is `/`.
fn program(args: &InstallArgs, environment: &Environment, root: &Path) -> Result<PathBuf, Trouble> {
    let program = args.program.clone().unwrap_or_else(|| environment.executable.clone());
    if !program.is_absolute() || program.components().any(|part| part == Component::ParentDir) {
        let shown = printable(program.as_os_str().as_bytes());
        return Err(Trouble::usage(format!("--program {shown}: an absolute path without ..")));
    }
    // What systemd's and a list's line cannot have, however it is quoted.
    let is_odd = |c: char| c.is_control() || "\"'\\$;".contains(c);
    if program.to_str().is_none_or(|text| text.contains(is_odd)) {
        let shown = printable(program.as_os_str().as_bytes());
        let line = "a unit of systemd cannot name it; install it to another place";
        return Err(Trouble::usage(format!("--program {shown}: {line}")));
    }
    match program.strip_prefix(root) {
        Ok(inside) => Ok(Path::new("/").join(inside)),
        Err(_) => Ok(program),
    }
}

/// Everything that is put in place.
fn items(root: &Path, program: &Path, prefix: Prefix) -> Result<Vec<Item>, Trouble> {
    let base = root.join(prefix.directory());
    let mut items = Vec::new();
    let sbin = helper_directory(root);
    for (name, _) in NAMES {
        items.push(Item { path: sbin.join(name), content: Content::Link(program.to_owned()) });
    }
    let mut file = |path: &str, text: Vec<u8>| {
        items.push(Item { path: base.join(path), content: Content::File(text) });
    };
    file("lib/systemd/system/minirdr@.service", unit(program).into_bytes());
    let rendered = generate::pages();
    let pages = rendered.map_err(|error| Trouble::system("render the manual pages", &error))?;
    for (name, text) in pages {
        let section = name.rsplit('.').next().unwrap_or("1");
        file(&format!("share/man/man{section}/{name}"), text);
    }
    for (shell, path) in [
        (Shell::Bash, "share/bash-completion/completions/minirdr"),
        (Shell::Zsh, "share/zsh/site-functions/_minirdr"),
        (Shell::Fish, "share/fish/vendor_completions.d/minirdr.fish"),
    ] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut CommandLine::command(), "minirdr", &mut script);
        file(path, script);
    }
    Ok(items)
}

/// Where mount(8) looks for helpers: `/sbin`, which is `/usr/sbin` on most systems. A link is not
/// followed, because an absolute one would lead out of `root`.
fn helper_directory(root: &Path) -> PathBuf {
    let sbin = root.join("sbin");
    match sbin.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => sbin,
        _ => root.join("usr/sbin"),
    }
}

/// The unit with the program's place: systemd looks in its own directories alone.
fn unit(program: &Path) -> String {
    let program = program.to_string_lossy().replace('%', "%%");
    let program = if program.contains(' ') { format!("\"{program}\"") } else { program };
    let line = |line: &str| match line.split_once("=minirdr ") {
        Some((key, rest)) if key.starts_with("Exec") => format!("{key}={program} {rest}\n"),
        _ => format!("{line}\n"),
    };
    UNIT.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn tree(root: &Path) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut open = vec![root.to_owned()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).expect("readable").flatten() {
                if entry.file_type().expect("known").is_dir() {
                    open.push(entry.path());
                }
                found.insert(entry.path());
            }
        }
        found
    }

    fn put(root: &Path) -> Result<usize, Trouble> {
        let items = items(root, Path::new("/usr/bin/minirdr"), Prefix::System)?;
        let mut ledger = Ledger::read(root, Prefix::System.ledger(root))?;
        ledger.check(&items, &Ledger::read(root, Prefix::Local.ledger(root))?)?;
        ledger.install(&items)
    }

    #[test]
    fn what_is_installed_is_there_once_and_leaves_nothing() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        std::fs::create_dir_all(root.join("usr/share/man")).expect("made");
        let before = tree(root);
        let first = put(root).expect("an empty tree");
        assert!(first > NAMES.len() + 4, "{first}");
        for (name, _) in NAMES {
            let target = std::fs::read_link(root.join("usr/sbin").join(name)).expect(name);
            assert_eq!(target, Path::new("/usr/bin/minirdr"));
        }
        for file in ["share/man/man8/mount.minirdr.8", "lib/systemd/system/minirdr@.service"] {
            assert!(root.join("usr").join(file).is_file(), "{file}");
        }
        let installed = tree(root);
        assert_eq!(put(root), Ok(0), "again");
        assert_eq!(tree(root), installed);
        let ledger = || Ledger::read(root, Prefix::System.ledger(root)).expect("read");
        // An older version's.
        let page = root.join("usr/share/man/man1/minirdr.1");
        let old = [Item { path: page.clone(), content: Content::File(b"old".to_vec()) }];
        assert_eq!(ledger().install(&old), Ok(1));
        assert_eq!(put(root), Ok(first), "what has changed, and what was gone");
        assert_eq!(tree(root), installed);
        assert_eq!(ledger().uninstall(), Ok(first));
        assert_eq!(tree(root), before);
        assert_eq!(ledger().uninstall(), Ok(0));
    }

    #[test]
    fn what_is_not_ours_is_left_alone_and_nothing_is_done() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        std::fs::create_dir_all(root.join("sbin")).expect("made");
        std::fs::write(root.join("sbin/umount.minirdr"), "theirs").expect("written");
        let before = tree(root);
        let trouble = put(root).expect_err("in the way");
        assert!(trouble.message.contains("sbin/umount.minirdr"), "{trouble}");
        assert!(!trouble.message.contains('\n'), "{trouble}");
        assert_eq!(tree(root), before);
    }

    /// A package's, or whoever's, that took the place of ours.
    #[test]
    fn what_took_the_place_of_ours_is_left_alone() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        let first = put(root).expect("an empty tree");
        let helper = root.join("usr/sbin/mount.minirdr");
        std::fs::remove_file(&helper).expect("removed");
        std::fs::write(&helper, "a package's").expect("written");
        assert!(put(root).is_err(), "it is in the way");
        let ledger = Ledger::read(root, Prefix::System.ledger(root)).expect("read");
        assert_eq!(ledger.uninstall(), Ok(first - 1));
        assert_eq!(std::fs::read(&helper).expect("there"), b"a package's");
    }

    /// A list in an image is of whoever made the image.
    #[test]
    fn a_list_reaches_nothing_outside_of_its_root() {
        let top = tempfile::tempdir().expect("a directory");
        let (victim, root) = (top.path().join("victim"), top.path().join("root"));
        std::fs::write(&victim, "theirs").expect("written");
        let list = Prefix::System.ledger(&root);
        std::fs::create_dir_all(list.parent().expect("one")).expect("made");
        let mark = "0".repeat(16);
        let absolute = format!("f {mark} {}", victim.display());
        let lines = [format!("f {mark} ../victim"), absolute, "d ..".into(), "f x".into()];
        for line in lines {
            std::fs::write(&list, &line).expect("written");
            let trouble = Ledger::read(&root, list.clone()).expect_err(&line);
            assert!(trouble.message.contains("nothing was changed"), "{trouble}");
        }
    }

    #[test]
    fn a_link_that_leads_out_of_the_root_is_refused() {
        let top = tempfile::tempdir().expect("a directory");
        let top = top.path().canonicalize().expect("there");
        let (outside, root) = (top.join("outside"), top.join("root"));
        std::fs::create_dir_all(&outside).expect("made");
        std::fs::create_dir_all(&root).expect("made");
        std::os::unix::fs::symlink(&outside, root.join("usr")).expect("linked");
        let trouble = put(&root).expect_err("out of it");
        assert!(trouble.message.contains("leads out of"), "{trouble}");
        assert_eq!(tree(&outside), BTreeSet::new());
    }

    #[test]
    fn the_unit_names_the_program() {
        let text = unit(Path::new("/opt/a%b/minirdr"));
        assert_eq!(text.matches("=/opt/a%%b/minirdr ").count(), 2, "{text}");
        assert!(!text.contains("Start=minirdr ") && !text.contains("Stop=minirdr "), "{text}");
        let text = unit(Path::new("/opt/my dir/minirdr"));
        assert_eq!(text.matches("=\"/opt/my dir/minirdr\" ").count(), 2, "{text}");
    }
}
