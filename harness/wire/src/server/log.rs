//! The end of a server's log.

use std::fs;
use std::path::Path;

/// So many lines tell what happened and can still be read in an error.
const LINES_MAX: usize = 20;

/// How long a file is; one that is not there has no length.
pub(super) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |it| it.len())
}

/// The last lines behind this offset. The password should not be in them, and is blacked out all the same.
pub(super) fn tail(path: &Path, from: u64, password: &str) -> String {
    lines(path, from, password).join("\n")
}

/// The same, line by line.
pub(super) fn lines(path: &Path, from: u64, password: &str) -> Vec<String> {
    let bytes = fs::read(path).unwrap_or_default();
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
    let text = String::from_utf8_lossy(&bytes[from..]).replace(password, "***");
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_MAX)..].iter().map(|it| (*it).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_is_the_last_lines_without_the_password() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text: String = (0..100).map(|it| format!("line {it} with secret\n")).collect();
        fs::write(file.path(), text).unwrap();
        let tail = lines(file.path(), 0, "secret");
        assert_eq!((tail.len(), tail[LINES_MAX - 1].as_str()), (LINES_MAX, "line 99 with ***"));
        assert_eq!(lines(file.path(), length(file.path()), "secret"), [""; 0]);
        assert_eq!(lines(Path::new("/nowhere"), 7, "secret"), [""; 0]);
    }
}
