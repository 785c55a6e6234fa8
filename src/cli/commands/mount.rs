//! `mount`: everything that can be known to be wrong is said before anything is started.

use crate::app::unsent::store;
use crate::app::{
    self, ConfigReader, MountConfig, MountOptions, NamespaceConfig, NotifyConfig, ProviderConfig,
    Source,
};
use crate::base::unsent::UnsentSummary;
use crate::cli::args::{MountArgs, What};
use crate::cli::config_file;
use crate::cli::corpse::{self, Pulse};
use crate::cli::daemon;
use crate::cli::environment::Environment;
use crate::cli::exit::{Exit, Trouble};
use crate::cli::locate::{self, check_name, check_socket_length};
use crate::cli::logging::{self, LogFile};
use crate::cli::mountinfo::{self, Mount};
use crate::cli::print;
use crate::cli::run::Serving;
use crate::cli::table::printable;
use crate::cli::unsent;
use crate::cli::view;
use crate::mgmt::authz::Policy;
use crate::mgmt::client::{Client, socket_path};
use log::LevelFilter;
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Dead mounts on one mount point that are cleared; more are somebody's experiment.
const CORPSES_MAX: usize = 16;

/// `minirdr mount`, as the user's command, as the daemon in front, or as the daemon it started.
///
/// # Errors
/// One line; nothing was left behind.
pub fn mount(
    args: &MountArgs,
    words: &[OsString],
    environment: &Environment,
    serving: Serving,
) -> Result<Exit, Trouble> {
    if args.ready_on_stdout {
        let handed_over = notify(args, environment).is_some();
        return daemon::child(args.log.is_some(), handed_over, |ready| {
            serve(args, environment, prepare(args, environment)?, when(serving, ready))
        });
    }
    if !args.foreground {
        print::answer(&in_background(args, words, environment)?)?;
        return Ok(Exit::DONE);
    }
    let config = prepare(args, environment)?;
    let answer = mounted(args, &config);
    let ready = Box::new(|| print::answer(&answer).map(|_| ()));
    serve(args, environment, config, when(serving, ready))
}

/// What the program does when its daemon serves, and then what else is done.
fn when(serving: Serving, ready: WhenReady<'_>) -> WhenReady<'_> {
    Box::new(move || {
        // The mount is as good without it.
        if let Err(what) = serving() {
            log::warn!("memory is not given back: {what}");
        }
        ready()
    })
}

/// Mounts with a daemon in the background; returns what there is to tell when it answers. A
/// rehearsal starts none.
///
/// # Errors
/// One line; nothing was left behind.
pub(in crate::cli) fn in_background(
    args: &MountArgs,
    words: &[OsString],
    environment: &Environment,
) -> Result<String, Trouble> {
    let config = prepare(args, environment)?;
    let answer = mounted(args, &config);
    if !args.rehearsal {
        daemon::launch(words, environment, &config)?;
    }
    Ok(answer)
}

/// The service manager, and what this process has to do with it.
fn notify(args: &MountArgs, environment: &Environment) -> Option<NotifyConfig> {
    let manager = environment.manager.as_ref()?;
    if args.foreground {
        return Some(manager.of_front(std::process::id()));
    }
    // The starter waits for its child: as long as the child asks, it is the parent.
    let parent = || rustix::process::getppid().map(|pid| pid.as_raw_pid().unsigned_abs());
    match args.ready_on_stdout {
        true => manager.of_background(parent()?),
        false => manager.of_background(std::process::id()),
    }
}

/// What is done once the mount answers.
pub type WhenReady<'a> = Box<dyn FnOnce() -> Result<(), Trouble> + 'a>;

/// Mounts and serves until it is over.
fn serve(
    args: &MountArgs,
    environment: &Environment,
    config: MountConfig,
    ready: WhenReady<'_>,
) -> Result<Exit, Trouble> {
    let log = args.log.as_deref().map(LogFile::open).transpose()?;
    // In the background without a log, only what went wrong on the way up has a reader: the caller.
    let has_reader = args.foreground || log.is_some();
    let usual = if has_reader { LevelFilter::Info } else { LevelFilter::Warn };
    logging::start(environment.log.as_deref(), usual, environment.journal);
    make_runtime_dir(environment)?;
    let mut outcome = Ok(());
    let report = app::run(config, |_| outcome = ready())
        .map_err(|error| Trouble::with_exit(Exit(error.code), error.to_string()))?;
    outcome?;
    for line in &report.lines {
        match args.foreground {
            true => drop(print::answer(line)),
            false => log::info!("{line}"),
        }
    }
    drop(log);
    Ok(Exit(report.code))
}

/// The answer of a mount that worked.
fn mounted(args: &MountArgs, config: &MountConfig) -> String {
    // What an earlier daemon of this name left. One that cannot be read, this one warns of.
    let entries = store::look(&config.state_dir).unwrap_or_default();
    let summary = UnsentSummary::of(&entries);
    if args.json.json {
        return mounted_json(config, summary).to_string();
    }
    let source = config.source.to_string();
    let place = printable(config.mount_point.as_os_str().as_bytes());
    let line = format!("{}: {} mounted on {place}", config.name, printable(source.as_bytes()));
    let hint = unsent::hint(&config.name, summary);
    line + &hint.map(|hint| format!("\n  {hint}")).unwrap_or_default()
}

/// The JSON of `mount`.
pub(in crate::cli) fn mounted_json(config: &MountConfig, unsent: UnsentSummary) -> Value {
    let MountConfig { name, source, mount_point, runtime_dir, .. } = config;
    let body = json!({
        "name": name,
        "source": source.to_string(),
        "mount_point": mount_point.to_string_lossy(),
        "socket": socket_path(runtime_dir, name).to_string_lossy(),
        "unsent_files": unsent.files,
        "unsent_files_bytes": unsent.bytes,
    });
    view::envelope("mount", &body)
}

/// Reads and checks the whole command.
fn prepare(args: &MountArgs, environment: &Environment) -> Result<MountConfig, Trouble> {
    let Served { source, options, named, providers, config_file } = match args.what() {
        What::Source(source) => one_source(args, source)?,
        What::Config(file) => configured(args, file)?,
    };
    let rpc = args.rpc.options()?;
    let policy = policy(&options)?;
    let mount_point = check_mount_point(args, environment)?;
    let name = choose_name(args, &options, named, &mount_point)?;
    if let Some(file) = &config_file {
        let config = NamespaceConfig { name: None, providers: providers.clone() };
        config_file::check_mount_name(file, options.control_dir.as_deref(), (&config, &name))?;
    }
    check_socket_length(&environment.runtime_dir, &name)?;
    check_name_is_free(&environment.runtime_dir, &name)?;
    Ok(MountConfig {
        state_dir: environment.state_dir.join(&name),
        runtime_dir: environment.runtime_dir.clone(),
        name,
        source,
        providers,
        reader: config_file.as_deref().map(|file| reader(file, &mount_point, &options)),
        config_file,
        mount_point,
        options,
        rpc,
        policy,
        notify: notify(args, environment),
    })
}

/// What a mount serves, and how.
struct Served {
    source: Source,
    options: MountOptions,
    /// The name that a configuration gives it.
    named: Option<String>,
    providers: Vec<ProviderConfig>,
    config_file: Option<PathBuf>,
}

/// What reads the configuration file again while it is served.
fn reader(file: &Path, mount_point: &Path, options: &MountOptions) -> ConfigReader {
    let (file, place) = (file.to_owned(), mount_point.to_owned());
    let control_dir = options.control_dir.clone();
    let read = move || {
        let around =
            config_file::Surroundings { mount_point: &place, control_dir: control_dir.as_deref() };
        config_file::read(&file, around).map_err(|trouble| trouble.message)
    };
    let place = mount_point.to_owned();
    let check = move |source: &Source| {
        let wrong = |what: String| format!("source \"{source}\": {what}");
        config_file::look_at_source(source, &place).map_err(wrong)
    };
    ConfigReader { read: Arc::new(read), check: Arc::new(check) }
}

fn one_source(args: &MountArgs, source: &OsStr) -> Result<Served, Trouble> {
    let source = Source::parse(source)?.map_directory(|path| {
        let shown = format!("source local:{}", path.display());
        let failed = |error: std::io::Error| Trouble::system(&shown, &error);
        let path = std::path::absolute(&path).map_err(failed)?;
        match std::fs::metadata(&path).map_err(failed)?.is_dir() {
            true => Ok(path),
            false => Err(Trouble::failed(format!("{shown}: not a directory"))),
        }
    })?;
    let options = MountOptions::parse(&args.options.join(","))?;
    Ok(Served { source, options, named: None, providers: Vec::new(), config_file: None })
}

fn configured(args: &MountArgs, file: &Path) -> Result<Served, Trouble> {
    let options = MountOptions::parse(&args.options.join(","))?;
    if let Some((key, _)) = options.redirector_options.first() {
        return Err(Trouble::usage(format!(
            "option {key} is none of the mount's; with --config a mini-redirector's options are in \
             the file, as options = {{ … }} of its [[provider]]"
        )));
    }
    let failed = |error| Trouble::system(file.display(), &error);
    let file = std::path::absolute(file).map_err(failed)?;
    // Only to know what is inside of what: nothing is done there before the file is found good.
    let mount_point = match is_descriptor(args.mount_point()) {
        true => args.mount_point().to_owned(),
        false => locate::resolve(args.mount_point(), &locate::read_mounts()?)?,
    };
    let around = config_file::Surroundings {
        mount_point: &mount_point,
        control_dir: options.control_dir.as_deref(),
    };
    let NamespaceConfig { name: named, providers } = config_file::read(&file, around)?;
    let source = Source::Namespace(file.clone());
    Ok(Served { source, options, named, providers, config_file: Some(file) })
}

/// Who may do what: the daemon's user, and the group of `-o control_group`, which must be one.
fn policy(options: &MountOptions) -> Result<Policy, Trouble> {
    let group = options.control_group.as_deref().map(group_number).transpose()?;
    let owner = rustix::process::geteuid().as_raw();
    Ok(Policy { owner, group, overrides: options.overrides })
}

/// The number of a group by its name, as the system's name service has it, or a number as it is.
fn group_number(name: &str) -> Result<u32, Trouble> {
    let wrong = |what: String| Trouble::usage(format!("option control_group: {what}"));
    if let Ok(number) = name.parse::<u32>() {
        // The last one is chown's "as it is", and the kernel's "nobody".
        let none = || wrong(format!("{number} is no group's number"));
        return Some(number).filter(|number| *number != u32::MAX).ok_or_else(none);
    }
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(wrong(format!("there is no group named \"{}\"", name.escape_debug()))),
        Err(error) => {
            let name = name.escape_debug();
            Err(wrong(format!("looking for a group named \"{name}\": {}", error.desc())))
        }
    }
}

/// `--name`, else `-o name=`, else the configuration's, else the mount point's last component.
fn choose_name(
    args: &MountArgs,
    options: &MountOptions,
    named: Option<String>,
    mount_point: &Path,
) -> Result<String, Trouble> {
    let chosen = args.name.clone().or_else(|| options.name.clone()).or(named);
    let last = || mount_point.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = chosen.or_else(last).unwrap_or_default();
    check_name(&name)?;
    Ok(name)
}

/// A descriptor that somebody has opened and mounted for us.
fn is_descriptor(path: &Path) -> bool {
    let number = path.as_os_str().as_bytes().strip_prefix(b"/dev/fd/");
    number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

fn check_mount_point(args: &MountArgs, environment: &Environment) -> Result<PathBuf, Trouble> {
    let path = args.mount_point();
    if is_descriptor(path) {
        return Ok(path.to_owned());
    }
    let resolved = locate::resolve(path, &locate::read_mounts()?)?;
    let shown = printable(resolved.as_os_str().as_bytes());
    // One corpse may lie on another: each start after a kill may have left one.
    for _ in 0..CORPSES_MAX {
        let mounts = locate::read_mounts()?;
        let Some(mount) = mountinfo::at(&mounts, &resolved) else { break };
        // An automounter's is waiting for us.
        if mount.kind == "autofs" {
            return Ok(resolved);
        }
        // First: nobody else that looks at such a mount comes back.
        let is_dying = args.rehearsal && corpse::is_dying(mount);
        if !args.rehearsal {
            corpse::let_end(mount);
        }
        let refusal = if is_dying { None } else { in_use(mount, &mounts, environment) };
        if let Some(refusal) = refusal {
            return Err(Trouble::failed(format!("{shown} is a mount point in use: {refusal}")));
        }
        if args.rehearsal {
            print::note(&format!("minirdr: would take a dead mount away from {shown}"));
            return Ok(resolved);
        }
        if !corpse::clear(mount) {
            return Err(Trouble::failed(format!(
                "{shown} is a dead mount and cannot be cleared; as root: umount -l"
            )));
        }
        print::note(&format!("minirdr: took a dead mount away from {shown}"));
    }
    // Nothing is mounted there: looking at it asks no daemon.
    match std::fs::metadata(&resolved) {
        Ok(metadata) if metadata.is_dir() => Ok(resolved),
        Ok(_) => Err(Trouble::failed(format!("mount point {shown}: not a directory"))),
        Err(error) => Err(Trouble::system(format!("mount point {shown}"), &error)),
    }
}

/// Why a mount point cannot be mounted on; nothing when only a dead mount of ours is there.
fn in_use(mount: &Mount, mounts: &[Mount], environment: &Environment) -> Option<String> {
    if !mount.is_ours() {
        return Some(format!("a file system of type {} is there", mount.kind));
    }
    let source = printable(mount.source.as_bytes());
    let directories = locate::socket_directories(environment);
    if let Some(target) = locate::find_by_mount_point(&mount.mount_point, mounts, &directories) {
        let name = target.name;
        return Some(format!("{name} serves {source} there; `minirdr umount {name}` first"));
    }
    match corpse::pulse(mount) {
        Pulse::Dead => None,
        Pulse::Alive => Some(format!("{source} is there, served by a daemon not found here")),
        Pulse::Silent => Some(format!("{source} is there, and does not answer")),
    }
}

fn check_name_is_free(runtime_dir: &Path, name: &str) -> Result<(), Trouble> {
    let status =
        Client::connect(&socket_path(runtime_dir, name)).and_then(|mut client| client.status());
    // A socket nobody answers is no obstacle: whoever binds it next clears it.
    match status {
        Ok(status) => Err(Trouble::failed(format!(
            "the name {name} is taken by the mount on {}; choose another with --name",
            printable(status.mount_point.as_bytes())
        ))),
        Err(_) => Ok(()),
    }
}

/// Makes the directory of the sockets. One in /tmp is this user's alone, or is not used.
fn make_runtime_dir(environment: &Environment) -> Result<(), Trouble> {
    let directory = &environment.runtime_dir;
    let shared_parent = directory.parent() == Some(Path::new("/tmp"));
    let mode = if shared_parent { 0o700 } else { 0o755 };
    let attempt = || format!("make {} for the control socket", directory.display());
    let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(directory);
    made.map_err(|error| Trouble::system(attempt(), &error))?;
    let metadata =
        directory.symlink_metadata().map_err(|error| Trouble::system(attempt(), &error))?;
    check_directory(directory, &metadata, environment.uid, shared_parent)
}

fn check_directory(
    directory: &Path,
    metadata: &std::fs::Metadata,
    uid: u32,
    shared_parent: bool,
) -> Result<(), Trouble> {
    let shown = directory.display();
    if metadata.is_dir() && !shared_parent {
        return Ok(());
    }
    if metadata.is_dir() && metadata.uid() == uid && metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(Trouble::not_permitted(format!(
        "{shown} is not this user's own directory of mode 0700; remove it or set XDG_RUNTIME_DIR"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{self, Parsed, Verb};

    /// S-90: a group is a name the system knows, or a number; anything else is one line, exit 2.
    #[test]
    fn s90_a_group_is_known_or_refused_in_one_line() {
        assert_eq!(group_number("root"), Ok(0));
        assert_eq!(group_number("12345"), Ok(12345));
        for name in ["no-such-group-here", "", "4294967295", "a\nb"] {
            let trouble = group_number(name).expect_err(name);
            assert_eq!(trouble.exit, Exit::USAGE, "{name:?}");
            assert!(trouble.message.starts_with("option control_group: "), "{trouble}");
            assert!(!trouble.message.contains('\n'), "{trouble}");
        }
    }

    fn mount_args(line: &str) -> MountArgs {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        match args::parse(&words) {
            Ok(Parsed::Verb(verb)) => match *verb {
                Verb::Mount(args) => args,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    /// S-112: whose name a mount has.
    #[test]
    fn the_nearest_name_counts() {
        let named = mount_args("minirdr mount --config f /mnt/d --name a");
        let unnamed = mount_args("minirdr mount --config f /mnt/d");
        let option = MountOptions::parse("name=b").expect("good");
        let (none, file) = (MountOptions::default(), Some("c".to_owned()));
        let chosen = |args: &MountArgs, options: &MountOptions, file: &Option<String>| {
            choose_name(args, options, file.clone(), Path::new("/mnt/d"))
        };
        assert_eq!(chosen(&named, &option, &file), Ok("a".to_owned()));
        assert_eq!(chosen(&unnamed, &option, &file), Ok("b".to_owned()));
        assert_eq!(chosen(&unnamed, &none, &file), Ok("c".to_owned()));
        assert_eq!(chosen(&unnamed, &none, &None), Ok("d".to_owned()));
    }

    /// S-112: an option of a mini-redirector has no mini-redirector there to go to.
    #[test]
    fn options_of_a_mini_redirector_are_in_the_file() {
        let args = mount_args("minirdr mount --config f /mnt/d -o ro,latency=5ms");
        let trouble = configured(&args, Path::new("f")).err().expect("refused");
        assert_eq!(trouble.code, "usage");
        let line = "option latency is none of the mount's; with --config a mini-redirector's \
                    options are in the file, as options = { … } of its [[provider]]";
        assert_eq!(trouble.message, line);
    }
}
