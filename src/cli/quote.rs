//! Words as a shell takes them, in the commands that are printed to be copied.

use std::fmt::Write as _;

/// A word for a shell, whatever its bytes are, that drives no terminal: as it is, in `'…'`, or in
/// `$'…'` of bash, zsh and ksh, where it has control characters or is no UTF-8.
///
/// None: no command line can hold it, because a NUL ends an argument.
#[must_use]
pub fn quoted(word: &[u8]) -> Option<String> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(byte);
    if word.contains(&0) {
        return None;
    }
    match std::str::from_utf8(word) {
        Ok(text) if !word.is_empty() && word.iter().all(plain) => Some(text.to_owned()),
        Ok(text) if !text.contains(char::is_control) => {
            Some(format!("'{}'", text.replace('\'', r"'\''")))
        }
        _ => Some(escaped(word)),
    }
}

fn escaped(word: &[u8]) -> String {
    let mut quoted = String::from("$'");
    let octal = |quoted: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a String cannot fail. Three digits: what follows may be one.
            let _ = write!(quoted, "\\{byte:03o}");
        }
    };
    for chunk in word.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\'' | '\\' => quoted.extend(['\\', character]),
                control if control.is_control() => {
                    octal(&mut quoted, control.encode_utf8(&mut [0; 4]).as_bytes());
                }
                other => quoted.push(other),
            }
        }
        octal(&mut quoted, chunk.invalid());
    }
    quoted.push('\'');
    quoted
}

/// A command line; none where a word cannot be quoted.
#[must_use]
pub fn command<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    let words: Option<Vec<String>> = words.into_iter().map(quoted).collect();
    words.map(|words| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;
    use std::process::Command;

    #[test]
    fn words_are_quoted_as_little_as_can_be() {
        for (word, expected) in [
            (&b"local:/srv/a-b_c"[..], Some("local:/srv/a-b_c")),
            (b"", Some("''")),
            (b"my data", Some("'my data'")),
            ("Größe".as_bytes(), Some("'Größe'")),
            (b"it's", Some(r"'it'\''s'")),
            (br"a\b", Some(r"'a\b'")),
            (b"$(reboot)", Some("'$(reboot)'")),
            (b"a\n'1\\", Some(r"$'a\012\'1\\'")),
            (b"\xff1", Some(r"$'\3771'")),
            ("\u{9b}2J".as_bytes(), Some(r"$'\302\2332J'")),
            (b"a\0b", None),
        ] {
            assert_eq!(quoted(word).as_deref(), expected, "{word:?}");
        }
        assert_eq!(command([&b"rm"[..], b"a b"]).as_deref(), Some("rm 'a b'"));
        assert_eq!(command([&b"rm"[..], b"\0"]), None);
    }

    /// Every byte there is comes out of a shell as it went in, and no control character is seen.
    #[test]
    fn bash_reads_what_was_written() {
        let bytes: Vec<u8> = (1..=255).collect();
        let words = [&bytes[..], b"it's", br"a\b", b"", b"two words", b"\xe4'\\7", b"-n", b"a\n"];
        let line = command(words).expect("no NUL");
        assert!(!line.contains(char::is_control), "{line:?}");
        let mut bash = Command::new("bash");
        let said = bash.arg("-c").arg(format!("printf '%s\\0' {line}")).output();
        let said = said.expect("bash is there").stdout;
        let expected: Vec<u8> = words.iter().flat_map(|word| [word, &b"\0"[..]].concat()).collect();
        let text = |bytes: Vec<u8>| std::ffi::OsString::from_vec(bytes);
        assert_eq!(text(said), text(expected));
    }
}
