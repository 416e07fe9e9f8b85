//! What the readers of both databases share: keywords, in upper or lower case, and quoted text.

/// First words of statements that begin or end a transaction.
pub(super) const CONTROL: [&str; 8] = ["begin", "commit", "end", "rollback", "savepoint", "release", "start", "abort"];

/// The word of this list that is this one, in whatever case.
pub(super) fn listed(word: &str, list: &[&'static str]) -> Option<&'static str> {
    list.iter().find(|it| it.eq_ignore_ascii_case(word)).copied()
}

/// The length of what begins with a quote; a quote in it is doubled, or has a backslash before it where those are escapes.
pub(super) fn quoted(bytes: &[u8], quote: u8, escapes: bool) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            it if it == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            it if it == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}
