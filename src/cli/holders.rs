//! Who is in the way, as rows of a table; pure.

use crate::base::stop::{HandleInfo, RequestInfo};
use crate::base::units::{age, size};
use crate::cli::args::TableArgs;
use crate::cli::exit::Trouble;
use crate::cli::table::{Layout, printable};
use crate::mgmt::proto::Holder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;

const COLUMNS: &[&str] = &[
    "HOLDER",
    "USER",
    "KIND",
    "MODE",
    "AGE",
    "UNSENT",
    "PATH",
    "PID",
    "UID",
    "CONTAINER",
    "HANDLE",
];
const USUAL: usize = 7;

const REQUEST_COLUMNS: &[&str] = &["REQUEST", "OPERATION", "AGE", "PID", "UID", "CANCEL", "PATH"];

/// The layout of a table of holders.
///
/// # Errors
/// Usage: a column that does not exist.
pub fn layout(table: &TableArgs) -> Result<Layout, Trouble> {
    Layout::new(COLUMNS, USUAL, &table.columns, !table.no_header)
}

/// The layout of a table of requests.
///
/// # Errors
/// Usage: a column that does not exist.
pub fn request_layout(table: &TableArgs) -> Result<Layout, Trouble> {
    Layout::new(REQUEST_COLUMNS, REQUEST_COLUMNS.len(), &table.columns, !table.no_header)
}

/// `blender[9912]`; `?` for what is unknown or hidden.
#[must_use]
pub fn who(holder: &Holder) -> String {
    let command = holder.command.as_deref().map(|name| printable(name.as_bytes()));
    let command = command.as_deref().unwrap_or("?");
    match holder.pid {
        Some(pid) => format!("{command}[{pid}]"),
        None => command.to_owned(),
    }
}

/// Where it is: a directory has a slash at its end, `-` is unknown or hidden, `.` the mount itself.
#[must_use]
pub fn place(holder: &Holder) -> String {
    let bytes = match &holder.path_bytes {
        Some(encoded) => STANDARD.decode(encoded).unwrap_or_default(),
        None => holder.path.clone().into_bytes(),
    };
    let is_directory = matches!(holder.kind.as_str(), "directory" | "cwd" | "root");
    match printable(&bytes) {
        // Without a name it is hidden from who asks, and the place with it.
        path if path.is_empty() && is_directory && holder.command.is_some() => "./".to_owned(),
        path if path.is_empty() => "-".to_owned(),
        path if is_directory && !path.ends_with('/') => path + "/",
        path => path,
    }
}

/// The rows of [`layout`].
#[must_use]
pub fn rows(holders: &[Holder]) -> Vec<Vec<String>> {
    holders.iter().map(row).collect()
}

fn row(holder: &Holder) -> Vec<String> {
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let user = || holder.user.as_deref().map(|name| printable(name.as_bytes()));
    let unsent = holder.unsent_bytes.filter(|&bytes| bytes > 0);
    vec![
        who(holder),
        user().unwrap_or_else(|| number(holder.uid)),
        holder.kind.clone(),
        holder.mode.clone(),
        holder.age_s.map_or_else(|| "-".to_owned(), seconds),
        unsent.map_or_else(|| "-".to_owned(), size),
        place(holder),
        number(holder.pid),
        number(holder.uid),
        holder.container.clone().unwrap_or_else(|| "-".to_owned()),
        holder.handle.map_or_else(|| "-".to_owned(), |handle| handle.to_string()),
    ]
}

/// The rows of [`request_layout`], as the daemon orders them.
#[must_use]
pub fn request_rows(requests: &[RequestInfo]) -> Vec<Vec<String>> {
    requests.iter().map(request_row).collect()
}

fn request_row(request: &RequestInfo) -> Vec<String> {
    let cancel = match (request.cancelled, request.cancellable) {
        (true, _) => "cancelled",
        (false, true) => "can be",
        (false, false) => "-",
    };
    let pid = request.caller.pid;
    let path = printable(&request.path);
    vec![
        request.serial.to_string(),
        request.operation.clone(),
        seconds(request.age_s),
        if pid == 0 { "?".to_owned() } else { pid.to_string() },
        request.caller.uid.to_string(),
        cancel.to_owned(),
        if path.is_empty() { "-".to_owned() } else { path },
    ]
}

fn seconds(seconds: f64) -> String {
    age(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// A handle of a report as a holder, for when the daemon is gone and cannot be asked who holds it.
#[must_use]
pub fn from_handle(handle: &HandleInfo) -> Holder {
    let text = std::str::from_utf8(&handle.path);
    Holder {
        pid: Some(handle.opened_by.pid).filter(|&pid| pid != 0),
        command: None,
        uid: Some(handle.opened_by.uid),
        user: None,
        kind: handle.kind.clone(),
        mode: handle.mode.clone(),
        age_s: Some(handle.age_s),
        unsent_bytes: Some(handle.unsent_bytes),
        path: String::from_utf8_lossy(&handle.path).into_owned(),
        path_bytes: text.is_err().then(|| STANDARD.encode(&handle.path)),
        container: None,
        handle: Some(handle.handle),
    }
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::*;
    use crate::base::ids::{Caller, Generation, HandleNumber, SerialNumber};

    pub(in crate::cli) fn holder(command: &str, pid: u32, kind: &str, path: &str) -> Holder {
        Holder {
            pid: Some(pid),
            command: Some(command.to_owned()),
            uid: Some(1000),
            user: Some("ana".to_owned()),
            kind: kind.to_owned(),
            mode: "rw".to_owned(),
            age_s: Some(7380.0),
            unsent_bytes: Some(0),
            path: path.to_owned(),
            path_bytes: None,
            container: None,
            handle: None,
        }
    }

    /// The console example of cli.md, letter by letter.
    #[test]
    fn the_designs_table() {
        let mut handle = holder("blender", 9912, "handle", "scenes/shot12.blend");
        handle.unsent_bytes = Some(8_598_323);
        let mut mmap = holder("blender", 9912, "mmap", "scenes/shot12.blend");
        mmap.unsent_bytes = None;
        let mut cwd = holder("bash", 8120, "cwd", "scenes");
        cwd.mode = "-".to_owned();
        cwd.age_s = Some(10_800.0);
        let layout = layout(&TableArgs::default()).expect("the usual columns");
        assert_eq!(
            layout.lines(&rows(&[handle, mmap, cwd])),
            [
                "HOLDER         USER  KIND    MODE  AGE    UNSENT   PATH",
                "blender[9912]  ana   handle  rw    2h03m  8.2 MiB  scenes/shot12.blend",
                "blender[9912]  ana   mmap    rw    2h03m  -        scenes/shot12.blend",
                "bash[8120]     ana   cwd     -     3h     -        scenes/",
            ]
        );
    }

    #[test]
    fn what_is_unknown_or_hidden_is_said_so() {
        let mut hidden = holder("x", 1, "handle", "");
        hidden.command = None;
        hidden.pid = None;
        hidden.user = None;
        hidden.age_s = None;
        assert_eq!(rows(&[hidden])[0][..7], ["?", "1000", "handle", "rw", "-", "-", "-"]);
        assert_eq!(place(&holder("x", 1, "cwd", "")), "./");
        let hidden = Holder { command: None, ..holder("x", 1, "cwd", "") };
        assert_eq!(place(&hidden), "-");
    }

    #[test]
    fn a_hostile_name_is_one_harmless_cell() {
        let mut evil = holder("a\nb", 1, "handle", "");
        evil.path_bytes = Some(STANDARD.encode(b"\xff\x1b[2J"));
        let row = &rows(&[evil])[0];
        assert_eq!((row[0].as_str(), row[6].as_str()), ("a\\x0ab[1]", "\\xff\\x1b[2J"));
    }

    #[test]
    fn a_reports_handle_becomes_a_holder() {
        let handle = HandleInfo {
            handle: HandleNumber(3),
            path: b"a\xff".to_vec(),
            kind: "handle".to_owned(),
            mode: "w".to_owned(),
            opened_by: Caller::local(0, 33, 33),
            generation: Generation(1),
            age_s: 61.0,
            unsent_bytes: 5,
            flushed: false,
            survivor: true,
            detached: false,
        };
        let row = &rows(&[from_handle(&handle)])[0];
        assert_eq!(row[..7], ["?", "33", "handle", "w", "1m01s", "5 B", "a\\xff"]);
    }

    #[test]
    fn a_request_says_what_where_and_for_whom() {
        let request = RequestInfo {
            serial: SerialNumber(9),
            operation: "read".to_owned(),
            path: b"docs/a.pdf".to_vec(),
            age_s: 250.0,
            caller: Caller::local(4410, 1000, 1000),
            cancellable: true,
            cancelled: false,
        };
        assert_eq!(
            request_rows(&[request])[0],
            ["9", "read", "4m10s", "4410", "1000", "can be", "docs/a.pdf"]
        );
    }
}
