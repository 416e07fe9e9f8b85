//! Keywords of PostgreSQL that are keywords only in their place: elsewhere a function may have their name.

use crate::statement::words::listed;

/// Each with the words that it stands behind, where no function can be called.
const BEHIND: [(&str, &[&str]); 7] = [
    ("by", &["group", "order", "partition"]),
    ("conflict", &["on"]),
    ("key", &["primary", "foreign"]),
    ("materialized", &["as", "not"]),
    ("partition", &[]),
    ("sets", &["grouping"]),
    ("within", &[]),
];

/// Whether this word, which stands before a parenthesis, is no function's name there, if it is a keyword at all.
pub(super) fn is_in_its_place(word: &str, before: &str, behind_parenthesis: bool, first: &str) -> bool {
    let is = |it: &str| word.eq_ignore_ascii_case(it);
    match BEHIND.iter().find(|it| is(it.0)) {
        Some((_, places)) => listed(before, places).is_some(),
        None if is("filter") || is("over") => behind_parenthesis,
        None => !(is("set") && first.eq_ignore_ascii_case("select")),
    }
}
