//! What may be shown of a URL that is not one of ours.

/// The part before its first colon, with it; the rest may hold a password, and a text that is not a URL may be one.
pub(super) fn scheme_of(url: &str) -> String {
    let (scheme, _) = url.split_once(':').unwrap_or(("", url));
    let is_scheme = scheme.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '+' | '-' | '.'));
    if is_scheme && url.contains("://") { format!("{scheme}:") } else { "…".to_owned() }
}
