//! Every line an error can be, and the properties.

use super::*;
use crate::app::{ProviderConfig, Source, parse_prefix};
use crate::cli::exit::Exit;
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

const CONTROL_DIR: Option<&str> = Some(".minirdr");

fn pure(text: &str) -> Result<NamespaceConfig, String> {
    let parsed = parse(text, Path::new("/etc/minirdr"), CONTROL_DIR);
    parsed.map(|parsed| parsed.config).map_err(|Wrong { line, what }| format!("{line}: {what}"))
}

fn refusal(text: &str) -> String {
    pure(text).expect_err(text)
}

/// A provider that is right, for what comes before and after it.
const GOOD: &str = "[[provider]]\nname = \"a\"\nprefix = [\"/a\"]\nsource = \"memory:\"\n";

#[test]
fn a_configuration_says_what_it_says() {
    let text = r#"
        name = "net"
        [[provider]]
        name = "docs"
        prefix = ["/srv1//docs/"]
        source = "local:../docs"
        options = { ro = false, max_fds = 0x10, keep_cache = true }
        [[provider]]
        name = "bad"
        prefix = [
            "/srv1/bad", # a comment
            "/srv2",
        ]
        source = "faulty:local:/x"
        [provider.options]
        seed = 7
        write = ["delay:1ms", "error:EIO"]
        read = 'hang'
        delayed_closes = "0"
    "#;
    let prefixes = |texts: &[&str]| {
        texts.iter().map(|text| parse_prefix(text).expect("good")).collect::<Vec<_>>()
    };
    let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let docs = ProviderConfig {
        name: "docs".to_owned(),
        prefixes: prefixes(&["/srv1/docs"]),
        source: Source::Local(PathBuf::from("/etc/minirdr/../docs")),
        options: [("max_fds", "16"), ("keep_cache", "true")].map(pair).to_vec(),
    };
    // In the order of the file: the order of faults matters.
    let options = [
        ("seed", "7"),
        ("write", "delay:1ms"),
        ("write", "error:EIO"),
        ("read", "hang"),
        ("delayed_closes", "0"),
    ];
    let bad = ProviderConfig {
        name: "bad".to_owned(),
        prefixes: prefixes(&["/srv1/bad", "/srv2"]),
        source: Source::Faulty(Box::new(Source::Local(PathBuf::from("/x")))),
        options: options.map(pair).to_vec(),
    };
    let name = Some("net".to_owned());
    assert_eq!(pure(text), Ok(NamespaceConfig { name, providers: vec![docs, bad] }));
}

/// S-110: one line, with the line of the file.
#[test]
fn what_is_not_toml_is_refused() {
    assert_eq!(refusal("\n[[provider"), "2: not TOML: unclosed array table, expected `]]`");
    assert_eq!(refusal("name = \"a\"\nname = \"b\"\n"), "2: not TOML: duplicate key");
    assert_eq!(
        refusal("name =\n"),
        "1: not TOML: string values must be quoted, expected literal string"
    );
    assert_eq!(refusal("name = \"a\n"), "1: not TOML: invalid basic string, expected `\"`");
}

/// Each text is refused with its line.
fn refuses(cases: &[(String, &str)]) {
    for (text, line) in cases {
        assert_eq!(refusal(text), *line, "{text}");
    }
}

/// S-110: the keys of the file: known, of their type, and a provider among them.
#[test]
fn a_file_has_providers_and_may_have_a_name() {
    let none = "there is no provider; write [[provider]] with name, prefix and source";
    let (first, second) = (format!("1: {none}"), format!("2: {none}"));
    refuses(&[
        (String::new(), &first),
        ("name = \"n\"\n".to_owned(), &first),
        ("\nprovider = []\n".to_owned(), &second),
        (format!("{GOOD}\n[mount]\n"), "6: there is no key \"mount\"; known are name, provider"),
        ("\nnaem = \"n\"\n".to_owned(), "2: there is no key \"naem\"; did you mean \"name\"?"),
        (
            "[[providers]]".to_owned(),
            "1: there is no key \"providers\"; did you mean \"provider\"?",
        ),
        ("name = 3\n".to_owned(), "1: name is an integer; it is a string: name = \"docs\""),
        (
            "\nname = \"a b\"\n".to_owned(),
            "2: \"a b\" cannot name a mount: a name is letters, digits and . _ - + @ :, and starts \
             with none of . -",
        ),
        (
            "[provider]\nname = \"a\"\n".to_owned(),
            "1: provider is a table; it is written [[provider]] with name, prefix and source",
        ),
        (
            "provider = [\n3]\n".to_owned(),
            "2: provider holds an integer; write [[provider]] with name, prefix and source",
        ),
    ]);
}

/// S-110: the keys of a provider: known, there, and of their type.
#[test]
fn a_provider_has_its_keys_each_of_its_type() {
    let provider = |lines: &str| format!("[[provider]]\n{lines}\n");
    refuses(&[
        (provider("prefixes = []"), "2: there is no key \"prefixes\"; did you mean \"prefix\"?"),
        (
            provider("mode = 7"),
            "2: there is no key \"mode\"; known are name, prefix, source, options, credentials",
        ),
        (
            format!("{GOOD}\n{}", provider("source = \"memory:\"")),
            "6: this provider has no name; write name = \"docs\"",
        ),
        (
            provider("source = \"memory:\"\nname = \"b\""),
            "1: provider \"b\" has no prefix; write prefix = [\"/srv1/docs\"]",
        ),
        (
            provider("name = \"b\"\nprefix = [\"/b\"]"),
            "1: provider \"b\" has no source; write source = \"local:/srv/docs\"",
        ),
        (
            provider("name = true\nprefix = [\"/b\"]"),
            "2: name is a boolean; it is a string: name = \"docs\"",
        ),
        (
            provider("name = \"b\"\nprefix = \"/b\""),
            "3: prefix is a string; it is an array of strings: prefix = [\"/srv1/docs\"]",
        ),
        (
            provider("name = \"b\"\nprefix = []"),
            "3: prefix is empty; it is an array of strings: prefix = [\"/srv1/docs\"]",
        ),
        (
            provider("name = \"b\"\nprefix = [\"/b\",\n1.5]"),
            "4: prefix holds a float; it is an array of strings: prefix = [\"/srv1/docs\"]",
        ),
        (
            provider("name = \"b\"\nprefix = [\"/b\"]\nsource = [\"memory:\"]"),
            "4: source is an array; it is a string: source = \"local:/srv/docs\"",
        ),
        (
            format!("{GOOD}options = \"max_fds=3\"\n"),
            "5: options is a string; it is a table: options = { delayed_closes = 64 }",
        ),
    ]);
}

/// S-110: what providers may be is told with the line of what is wrong.
#[test]
fn names_and_prefixes_are_refused_where_they_are() {
    let second = |lines: &str| format!("{GOOD}\n[[provider]]\n{lines}source = \"memory:\"\n");
    let cases = [
        (
            second("prefix = [\"/b\"]\nname = \"a\"\n"),
            "8: there is a provider \"a\" already; each needs a name of its own",
        ),
        (
            second("name = \"-b\"\nprefix = [\"/b\"]\n"),
            "7: \"-b\" cannot name a provider: a name is letters, digits and . _ - + @ :, and \
             starts with none of . -",
        ),
        (
            second("name = \"b\"\nprefix = [\n\"/b\",\n\"/a\",\n]\n"),
            "10: prefix \"/a\" is there already, for provider \"a\"; it can be shown once",
        ),
        (
            second("name = \"b\"\nprefix = [\"/a/x\"]\n"),
            "8: prefix \"/a/x\" is inside \"/a\" of provider \"a\": one inside another's cannot be \
             served; write them side by side",
        ),
        (
            second("name = \"b\"\nprefix = [\"/\"]\n"),
            "8: prefix \"/\": the whole mount is no prefix; mount that source directly: mount \
             SOURCE DIR",
        ),
        (
            second("name = \"b\"\nprefix = [\"b\"]\n"),
            "8: prefix \"b\": it is not absolute; write \"/b\"",
        ),
        (
            second("name = \"b\"\nprefix = [\"/.minirdr\"]\n"),
            "8: prefix \"/.minirdr\": the mount has its control directory there; choose another \
             prefix, or another directory with -o control_dir=NAME",
        ),
    ];
    for (text, line) in cases {
        assert_eq!(refusal(&text), line, "{text}");
    }
    let many: Vec<String> = (0..126).map(|n| format!("\"/{n}\",\n")).collect();
    let line = "134: prefix \"/125\" is one too many: a mount has 126 at most";
    assert_eq!(refusal(&second(&format!("name = \"b\"\nprefix = [\n{}]\n", many.concat()))), line);
}

/// A provider of a source, with lines of its own.
fn with(source: &str, rest: &str) -> String {
    format!("[[provider]]\nname = \"a\"\nprefix = [\"/a\"]\nsource = \"{source}\"\n{rest}\n")
}

/// S-110: sources, and who takes credentials: nobody.
#[test]
fn sources_are_refused_where_they_are() {
    let credentials = "credentials = \"secret\"";
    refuses(&[
        (
            with("nfs://x", ""),
            "4: source \"nfs://x\" has an unknown scheme \"nfs:\": known are memory:, local:DIR \
             and faulty:SOURCE",
        ),
        (
            with("config:/etc/net.toml", ""),
            "4: source \"config:/etc/net.toml\": several providers are mounted with --config \
             FILE, and no source",
        ),
        (with("local:/a\\u0000", ""), "4: source has a NUL in it, which no path can have"),
        (with("memory:", credentials), "5: credentials: memory: takes none; leave them out"),
        (with("local:/srv", credentials), "5: credentials: local: takes none; leave them out"),
        (with("faulty:memory:", credentials), "5: credentials: faulty: takes none; leave them out"),
    ]);
}

/// S-110: options, which their mini-redirectors know.
#[test]
fn options_are_refused_where_they_are() {
    let unknown = |key: &str| {
        let known = "delayed_closes, dmask, files, fmask, gid, latency, map, size, uid, umask";
        format!("5: memory: unknown option {key:?}: known are {known}")
    };
    let (sise, max_fds) = (unknown("sise"), unknown("max_fds"));
    refuses(&[
        (with("memory:", "options = { sise = \"1M\" }"), &sise),
        (with("faulty:memory:", "options = { read = \"hang\", max_fds = 3 }"), &max_fds),
        (
            with("memory:", "[provider.options]\nsize = \"1M\"\nfiles = 0"),
            "7: memory: option files=0: expected a number such as 100000",
        ),
        (
            with("memory:", "options = { ro = true }"),
            "5: option ro: a provider is not read-only by itself; -o ro makes the whole mount so",
        ),
        (with("memory:", "options = { ro = 1 }"), "5: option ro is an integer; it is false"),
    ]);
    let types = "it is a boolean, an integer, a string, or an array of strings";
    let cases = [
        ("size = 1.5", "size is a float"),
        ("size = [1]", "size holds an integer"),
        ("size = []", "size is an empty array"),
        ("size.max = 1", "size is a table"),
        ("files = 99999999999999999999", "files is an integer of more than 64 bits"),
    ];
    for (option, what) in cases {
        let text = with("memory:", &format!("options = {{ {option} }}"));
        assert_eq!(refusal(&text), format!("5: option {what}; {types}"));
    }
}

/// A directory with a file `net.toml` in it, and what reading it answers.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        // As a mount point is: without symlinks.
        self.directory.path().canonicalize().expect("it is there").join(name)
    }

    fn read(&self) -> Result<NamespaceConfig, (Exit, String)> {
        let mount_point = self.path("mnt");
        let around = Surroundings { mount_point: &mount_point, control_dir: CONTROL_DIR };
        let file = self.path("net.toml");
        let start = format!("{}:", file.display());
        read(&file, around).map_err(|trouble| {
            let rest = trouble.message.strip_prefix(&start).map(str::to_owned);
            assert!(!trouble.message.contains('\n'), "one line: {trouble}");
            (trouble.exit, rest.unwrap_or_else(|| panic!("it names its file: {trouble}")))
        })
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        std::fs::write(self.path("net.toml"), text).expect("room");
    }

    fn refusal(&self) -> String {
        let (exit, line) = self.read().expect_err("refused");
        assert_eq!(exit, Exit::FAILED, "{line}");
        line
    }
}

/// S-110: the file itself.
#[test]
fn a_file_is_a_regular_one_of_text_and_not_too_large() {
    let place = Place::new();
    assert_eq!(place.refusal(), " No such file or directory");
    place.write(GOOD);
    assert_eq!(place.read().map(|config| config.providers.len()), Ok(1));
    place.write(b"\n\nname = \"\xff\"\n");
    assert_eq!(place.refusal(), "3: not UTF-8; a configuration is UTF-8 throughout");
    let limit = usize::try_from(CONFIG_FILE_BYTES_MAX).expect("small");
    place.write(format!("{GOOD}#{}", "x".repeat(limit - GOOD.len() - 1)));
    assert!(place.read().is_ok(), "as large as it may be");
    place.write(format!("{GOOD}#{}", "x".repeat(limit - GOOD.len())));
    let line = " larger than 1048576 bytes, the most a configuration may have";
    assert_eq!(place.refusal(), line);
    std::fs::remove_file(place.path("net.toml")).expect("it is there");
    std::fs::create_dir(place.path("net.toml")).expect("room");
    let line = " a directory, not a regular file; the daemon reads it, and again on SIGHUP";
    assert_eq!(place.refusal(), line);
    std::fs::remove_dir(place.path("net.toml")).expect("it is there");
    let fifo = (place.path("net.toml"), FileType::Fifo, Mode::RWXU, 0);
    rustix::fs::mknodat(rustix::fs::CWD, fifo.0, fifo.1, fifo.2, fifo.3).expect("a FIFO");
    let line = " a FIFO, not a regular file; the daemon reads it, and again on SIGHUP";
    assert_eq!(place.refusal(), line, "and nobody has waited for a writer");
    std::fs::remove_file(place.path("net.toml")).expect("it is there");
    symlink("/dev/null", place.path("net.toml")).expect("room");
    let line = " a device, not a regular file; the daemon reads it, and again on SIGHUP";
    assert_eq!(place.refusal(), line);
}

/// S-110, S-111: directories that are not there or are none, and a mount that would serve itself.
#[test]
fn directories_are_there_and_the_mount_point_is_in_none_of_them() {
    let place = Place::new();
    let served = |directory: &str| GOOD.replace("memory:", &format!("local:{directory}"));
    let named = |name: &str| place.path(name).display().to_string();
    std::fs::create_dir_all(place.path("srv/docs")).expect("room");
    std::fs::create_dir(place.path("mnt")).expect("room");
    std::fs::write(place.path("plain"), "").expect("room");
    symlink("srv", place.path("link")).expect("room");
    symlink(".", place.path("here")).expect("room");
    symlink("mnt/x", place.path("inward")).expect("room");

    place.write(served("srv/docs"));
    let config = place.read().expect("a relative directory is beside the file");
    assert_eq!(config.providers[0].source, Source::Local(place.path("srv/docs")));
    place.write(served(&named("link/docs")));
    let config = place.read().expect("symlinks are followed");
    assert_eq!(config.providers[0].source, Source::Local(place.path("link/docs")), "and kept");

    let refused = |directory: &str, what: &str| {
        place.write(served(directory));
        let path = named(directory);
        assert_eq!(place.refusal(), format!("4: source \"local:{path}\": {what}"));
    };
    refused("none", "No such file or directory; local: serves a directory that is there");
    refused("plain", "not a directory; local: serves one");
    let mount_point = named("mnt");
    let inside = format!("the mount point {mount_point} is inside it; mount elsewhere");
    refused(".", &inside);
    refused("here", &inside);
    refused("mnt", &inside);
    let below = format!("it is inside the mount point {mount_point}; name another");
    refused("mnt/x", &below);
    refused("inward", &below);
    place.write(served("srv").replace("local:", "faulty:local:"));
    assert!(place.read().is_ok());
    place.write(served("mnt").replace("local:", "faulty:local:"));
    assert_eq!(place.refusal(), format!("4: source \"faulty:local:{mount_point}\": {inside}"));
}

#[test]
fn a_line_is_one_and_can_be_read_whatever_is_in_the_file() {
    let place = Place::new();
    place.write("\"a\\nb\\u001b[31m\" = 3\n");
    let line = "1: there is no key \"a\\nb\\u{1b}[31m\"; known are name, provider";
    assert_eq!(place.refusal(), line);
    place.write(GOOD.replace("memory:", "memory:\\nx"));
    let line = "4: source \"memory:\\nx\": memory: takes nothing after its colon";
    assert_eq!(place.refusal(), line);
    place.write(format!("{} = 3\n", "x".repeat(100_000)));
    let long = place.refusal();
    assert!(long.ends_with("xxx…") && long.len() < 650, "{} bytes", long.len());
}

/// The example of the documents is right.
#[test]
fn the_example_is_right() {
    let config = pure(include_str!("../../../contrib/net.toml")).expect("a good example");
    assert_eq!(config.name.as_deref(), Some("net"));
    let names: Vec<&str> = config.providers.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["docs", "scratch"]);
    assert_eq!(config.providers[1].prefixes.len(), 2);
}

/// A configuration as a file that says the same.
fn rendered(config: &NamespaceConfig) -> String {
    let mut text = String::new();
    if let Some(name) = &config.name {
        writeln!(text, "name = {}", quoted(name)).expect("memory");
    }
    for ProviderConfig { name, prefixes, source, options } in &config.providers {
        let prefixes: Vec<String> = prefixes.iter().map(|it| quoted(&it.to_string())).collect();
        let (name, prefixes) = (quoted(name), prefixes.join(", "));
        let source = quoted(&source.to_string());
        writeln!(text, "[[provider]]\nname = {name}\nprefix = [{prefixes}]\nsource = {source}")
            .expect("memory");
        // Pairs of one key are an array, which is where they can stand together only.
        let mut keys: Vec<&String> = Vec::new();
        options.iter().for_each(|(key, _)| keys.retain(|it| *it != key));
        for (key, _) in options {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        writeln!(text, "[provider.options]").expect("memory");
        for key in keys {
            let values: Vec<String> =
                options.iter().filter(|pair| pair.0 == *key).map(|pair| quoted(&pair.1)).collect();
            writeln!(text, "{} = [{}]", quoted(key), values.join(", ")).expect("memory");
        }
    }
    text
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

/// Files that are right, and some that are not: lines in any order, and now and then a strange one.
fn texts() -> impl Strategy<Value = String> {
    let prefixes =
        ["prefix = [\"/N\"]", "prefix = [\"/N/b\",\n\"/N/c\"]", "prefix = ['//N/ü \\y/']"];
    let sources = ["source = 'memory:'", "source = \"faulty:local:x y\"", "source = 'local:../é'"];
    let options = [
        "",
        "options = { delayed_closes = 3, ro = false }",
        "options.delayed_closes = 0x10",
        "options = { size = \"1M\" }",
        "options = { read = [\"hang\", \"delay:2ms\"], seed = 1 }",
    ];
    let strange = ["credentials = \"x\"", "]", "x.y = 1979-05-27", "name = 3", "[[provider]]"];
    let strange = proptest::option::weighted(0.1, prop::sample::select(strange.to_vec()));
    let provider = (
        prop::sample::select(prefixes.to_vec()),
        prop::sample::select(sources.to_vec()),
        prop::sample::select(options.to_vec()),
        strange,
    );
    let provider = provider.prop_flat_map(|(prefix, source, options, strange)| {
        let lines = vec!["name = \"pN\" # a name", prefix, source, options, strange.unwrap_or("")];
        Just(lines).prop_shuffle()
    });
    (vec(provider, 1..4), any::<bool>()).prop_map(|(providers, named)| {
        let mut text = if named { "name = \"net\"\n" } else { "" }.to_owned();
        for (number, lines) in providers.iter().enumerate() {
            let lines = lines.join("\n").replace('N', &number.to_string());
            writeln!(text, "[[provider]]\n{lines}").expect("memory");
        }
        text
    })
}

/// Configurations that are right, with everything that TOML has to escape.
fn good() -> impl Strategy<Value = NamespaceConfig> {
    let option = |source: u8| match source {
        0 => ("size", "3M"),
        1 => ("max_fds", "7"),
        _ => ("read", "delay:2ms"),
    };
    let provider = ("[^\0/]{1,8}", 0..3_u8, "[^\0]{0,8}", 0..3_usize);
    (proptest::option::of("[a-z]{1,3}"), vec(provider, 1..6)).prop_map(move |(name, wanted)| {
        let mut config = NamespaceConfig { name, providers: Vec::new() };
        for (component, source, path, options) in wanted {
            let number = config.providers.len();
            let Ok(prefix) = parse_prefix(&format!("/{number}/{component}")) else { continue };
            let local = Source::Local(PathBuf::from(format!("/srv/{path}")));
            let (key, value) = option(source);
            config.providers.push(ProviderConfig {
                name: format!("p{number}"),
                prefixes: vec![prefix],
                source: match source {
                    0 => Source::Memory,
                    1 => local,
                    _ => Source::Faulty(Box::new(local)),
                },
                options: vec![(key.to_owned(), value.to_owned()); options],
            });
        }
        config
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,200}") {
        let _ = pure(&text);
    }

    #[test]
    fn what_is_taken_reads_back(text in texts()) {
        if let Ok(config) = pure(&text) {
            prop_assert_eq!(pure(&rendered(&config)), Ok(config));
        }
    }

    #[test]
    fn what_is_right_is_taken_and_reads_back(config in good()) {
        prop_assume!(!config.providers.is_empty());
        prop_assert_eq!(pure(&rendered(&config)), Ok(config));
    }
}
