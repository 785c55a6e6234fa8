//! Tables with fixed upper-case columns, `-o COL,…` and `-n`; pure.

use crate::cli::exit::Trouble;

/// Which columns, in which order, and whether they are headed. Made before a command acts, so that
/// a wrong column name changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    columns: &'static [&'static str],
    chosen: Vec<usize>,
    header: bool,
}

impl Layout {
    /// `wanted` are column names in any case; none: the first `usual` ones.
    ///
    /// # Errors
    /// Usage: a column that does not exist; the message lists those that do.
    pub fn new(
        columns: &'static [&'static str],
        usual: usize,
        wanted: &[String],
        header: bool,
    ) -> Result<Self, Trouble> {
        if wanted.is_empty() {
            return Ok(Self { columns, chosen: (0..usual.min(columns.len())).collect(), header });
        }
        let find = |name: &String| {
            columns.iter().position(|column| column.eq_ignore_ascii_case(name)).ok_or_else(|| {
                Trouble::usage(format!("no column {name:?}: there are {}", columns.join(", ")))
            })
        };
        Ok(Self { columns, chosen: wanted.iter().map(find).collect::<Result<_, _>>()?, header })
    }

    /// The lines of a table, without trailing blanks; no rows, no lines, not even a header. Each
    /// row has a cell for every column, chosen or not.
    #[must_use]
    pub fn lines(&self, rows: &[Vec<String>]) -> Vec<String> {
        if rows.is_empty() {
            return Vec::new();
        }
        let head: Vec<String> = self.columns.iter().map(|&column| column.to_owned()).collect();
        let head = self.header.then_some(&head);
        let width = |column: usize| {
            let cells = head.into_iter().chain(rows).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = self.chosen.iter().map(|&column| width(column)).collect();
        let line = |row: &Vec<String>| {
            let cells = self.chosen.iter().zip(&widths);
            let padded = cells.map(|(&column, &width)| format!("{:<width$}", row[column]));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        head.into_iter().chain(rows).map(line).collect()
    }
}

/// Bytes as one printable cell: a control character, a backslash or a byte that is no UTF-8 becomes
/// `\xNN`, so that a file's name cannot break a line or drive a terminal.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '\\' {
                let mut utf8 = [0; 4];
                escape_into(&mut text, character.encode_utf8(&mut utf8).as_bytes());
            } else {
                text.push(character);
            }
        }
        escape_into(&mut text, chunk.invalid());
    }
    text
}

fn escape_into(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str(&format!("\\x{byte:02x}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[&str] = &["NAME", "STATE", "MOUNT"];

    fn rows() -> Vec<Vec<String>> {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        vec![row(["bk", "running", "/mnt/bk"]), row(["projects", "stopped", "/p"])]
    }

    #[test]
    fn columns_line_up_and_the_last_is_not_padded() {
        let layout = Layout::new(COLUMNS, 3, &[], true).expect("all columns");
        assert_eq!(
            layout.lines(&rows()),
            ["NAME      STATE    MOUNT", "bk        running  /mnt/bk", "projects  stopped  /p"]
        );
    }

    #[test]
    fn chosen_columns_in_the_order_asked_in_any_case() {
        let wanted = ["mount".to_owned(), "NAME".to_owned()];
        let layout = Layout::new(COLUMNS, 3, &wanted, false).expect("known columns");
        assert_eq!(layout.lines(&rows()), ["/mnt/bk  bk", "/p       projects"]);
    }

    #[test]
    fn some_columns_are_shown_only_when_asked_for() {
        let layout = Layout::new(COLUMNS, 2, &[], false).expect("the usual columns");
        assert_eq!(layout.lines(&rows()), ["bk        running", "projects  stopped"]);
    }

    #[test]
    fn a_wrong_column_names_the_right_ones() {
        let trouble =
            Layout::new(COLUMNS, 3, &["SIZE".to_owned()], true).expect_err("no such column");
        assert_eq!(trouble.code, "usage");
        assert!(trouble.message.contains("NAME, STATE, MOUNT"), "{trouble}");
    }

    #[test]
    fn no_rows_no_lines() {
        let layout = Layout::new(COLUMNS, 3, &[], true).expect("all columns");
        assert!(layout.lines(&[]).is_empty());
    }

    #[test]
    fn names_cannot_break_lines_or_drive_terminals() {
        assert_eq!(printable("scenes/schön 1.blend".as_bytes()), "scenes/schön 1.blend");
        assert_eq!(printable(b"a\nb\x1b[31m\\"), "a\\x0ab\\x1b[31m\\x5c");
        assert_eq!(printable(b"\xff\xc3"), "\\xff\\xc3");
        assert_eq!(printable("\u{9b}".as_bytes()), "\\xc2\\x9b", "C1 controls drive terminals too");
    }
}
