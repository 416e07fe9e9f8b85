//! Words of SQL, which are the same in any case.

/// The word of this list that is this one, in whatever case.
pub(super) fn listed(word: &str, list: &[&'static str]) -> Option<&'static str> {
    list.iter().find(|it| it.eq_ignore_ascii_case(word)).copied()
}
