//! The manual pages of the helpers: mount.minirdr(8) and umount.minirdr(8), made from the
//! definitions of their words.

use crate::cli::commands::generate::{ENVIRONMENT, MOUNT_OPTIONS, section};
use crate::cli::helper::mount::MountHelperArgs;
use crate::cli::helper::umount::UmountHelperArgs;
use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use std::io;

/// One section of a page: terms, each with its sentence.
type Terms = &'static [(&'static str, &'static str)];

/// Both pages: file name and text.
///
/// # Errors
/// None in memory.
pub fn helper_pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mount: &[(&str, Terms)] = &[
        ("MOUNT OPTIONS", MOUNT_OPTIONS),
        ("EXIT STATUS", MOUNT_EXIT),
        ("ENVIRONMENT", ENVIRONMENT),
        ("FILES", FILES),
        ("EXAMPLES", MOUNT_EXAMPLES),
    ];
    let umount: &[(&str, Terms)] = &[
        ("EXIT STATUS", UMOUNT_EXIT),
        ("ENVIRONMENT", ENVIRONMENT),
        ("FILES", FILES),
        ("EXAMPLES", UMOUNT_EXAMPLES),
    ];
    Ok(vec![
        (
            "mount.minirdr.8".to_owned(),
            page(MountHelperArgs::command(), (MOUNT_LINE, MOUNT_DESCRIPTION), (mount, MOUNT_SEE))?,
        ),
        (
            "umount.minirdr.8".to_owned(),
            page(
                UmountHelperArgs::command(),
                (UMOUNT_LINE, UMOUNT_DESCRIPTION),
                (umount, UMOUNT_SEE),
            )?,
        ),
    ])
}

fn page(
    command: clap::Command,
    (synopsis, description): (&str, &[&str]),
    (sections, see_also): (&[(&str, Terms)], &str),
) -> io::Result<Vec<u8>> {
    let man = Man::new(command).section("8").manual("System Administration");
    let man = man.source(concat!("minirdr ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    // Clap's own shows options of one letter with a blank for the long name they do not have.
    paragraphs("SYNOPSIS", &[synopsis]).to_writer(&mut text)?;
    paragraphs("DESCRIPTION", description).to_writer(&mut text)?;
    man.render_options_section(&mut text)?;
    for (title, terms) in sections {
        section(title, terms).to_writer(&mut text)?;
    }
    paragraphs("SEE ALSO", &[see_also]).to_writer(&mut text)?;
    Ok(text)
}

fn paragraphs(title: &str, texts: &[&str]) -> Roff {
    let mut roff = Roff::default();
    roff.control("SH", [title]);
    for text in texts {
        roff.control("PP", []);
        roff.text([roman(*text)]);
    }
    roff
}

const MOUNT_LINE: &str = "mount.minirdr SOURCE DIR [-sfnv] [-N NAMESPACE] [-t TYPE] [-o OPTS]";
const UMOUNT_LINE: &str = "umount.minirdr DIR [-flnrv] [-N NAMESPACE] [-t TYPE]";

const MOUNT_DESCRIPTION: &[&str] = &[
    "mount(8) runs this program for the types minirdr and fuse.minirdr: from a command line, \
     from a line of fstab(5), and for a mount unit of systemd. It is minirdr under another \
     name, installed by minirdr install-helpers; mount.fuse.minirdr is the same.",
    "It returns when the mount answers, and a daemon serves it in the background. When it \
     fails, one line says why, and nothing is left behind. It is silent when all went well; \
     -v says what was done.",
    "Every option is looked at before anything is started. Options of mount(8) that a file \
     system has nothing to do with are accepted; one that nobody knows is refused with its \
     place, or left out with -s. remount is refused, and so is credentials, because no mini- \
     redirector takes any.",
    "As root it mounts by itself, and has libmount's table name minirdr as the helper of \
     umount(8). Other users, who may mount a line of fstab with the option user or users, \
     mount by fusermount3(1).",
];

const MOUNT_EXIT: Terms = &[
    ("0", "mounted, and it answers; with -f: it could be"),
    ("1", "not permitted"),
    ("2", "the command line or an option is wrong"),
    ("32", "not mounted, for any other reason"),
];

const MOUNT_EXAMPLES: Terms = &[
    ("mount -t minirdr local:/srv/data /mnt/bk", "by hand"),
    ("local:/srv/data /mnt/bk minirdr defaults,nofail 0 0", "a line of fstab(5)"),
    (
        "local:/srv/data /mnt/bk minirdr noauto,x-systemd.automount,stop_deadline=5m 0 0",
        "one that systemd mounts when it is first used",
    ),
    ("memory: /home/ana/m minirdr noauto,user 0 0", "one that users may mount"),
    ("mount.minirdr local:/srv/data /mnt/bk -f -v", "could it be mounted?"),
];

const MOUNT_SEE: &str = "minirdr(1), minirdr-mount(1), umount.minirdr(8), mount(8), fstab(5), \
                         fusermount3(1)";

const UMOUNT_DESCRIPTION: &[&str] = &[
    "umount(8) runs this program for a mount of minirdr, and so does systemd when a mount \
     unit is stopped. It is minirdr under another name, installed by minirdr install-helpers; \
     umount.fuse.minirdr is the same. It touches the mount point only when no daemon is found \
     for it, and gives up on that after 2 seconds.",
    "When nobody is inside, the mount is stopped in the orderly way, with the deadline and \
     policy of its options stop_deadline and on_deadline, and it is unmounted when all is \
     saved. Then the daemon has ended, too.",
    "When somebody is inside, nothing is changed, and each holder is named on standard error: \
     its process, user, and path. With the option stop_grace new opens are refused for that \
     long, and open files may be closed first; SIGINT, SIGTERM and SIGHUP end that, and nothing is \
     changed. -l detaches: open files work on, and the \
     daemon stays until the last one is closed; minirdr list shows it with its place in \
     parentheses. -f cancels what waits and gives up after 5 seconds: what is open then is \
     cut off.",
    "Of a file system that is mounted elsewhere too, by mount --bind or in another namespace, \
     only this place is unmounted, and nothing is stopped; -f of a copy is as without it, and of \
     the place that was mounted first it ends them all. A mount whose daemon is gone is \
     unmounted by the kernel alone.",
    "fusermount3 -u runs no helper. The daemon notices that, finishes what it owes, and ends.",
];

const UMOUNT_EXIT: Terms = &[
    ("0", "unmounted, and all is saved; with -l: detached"),
    (
        "1",
        "not permitted; or unmounted, and not all was saved: minirdr unsent says what. Standard \
         error says which",
    ),
    ("2", "the command line is wrong"),
    ("32", "mounted still: busy, or the deadline passed; or it was no mount of minirdr"),
];

const UMOUNT_EXAMPLES: Terms = &[
    ("umount /mnt/bk", "what umount(8) runs for it: umount.minirdr /mnt/bk -t fuse.minirdr"),
    ("umount -a -t fuse.minirdr", "all of them, as at shutdown"),
    ("umount -l /mnt/bk", "out of sight, although somebody is inside"),
];

const UMOUNT_SEE: &str = "minirdr(1), minirdr-umount(1), minirdr-stop(1), minirdr-unsent(1), \
                          mount.minirdr(8), umount(8), fusermount3(1)";

const FILES: Terms = &[
    (
        "/sbin/mount.minirdr, /sbin/mount.fuse.minirdr, /sbin/umount.minirdr, \
         /sbin/umount.fuse.minirdr",
        "links to minirdr, made by minirdr install-helpers",
    ),
    (
        "/run/mount/utab",
        "libmount's table. Root's mounts have helper=minirdr there, without which umount(8) would \
         run umount.fuse",
    ),
    ("/run/minirdr/NAME.sock", "root's control sockets"),
];
