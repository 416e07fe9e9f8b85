//! Which versions of PostgreSQL are supported.

/// PostgreSQL 13, as sqlx counts.
pub(super) const VERSION_MIN: u32 = 130_000;

/// The server is older than what is supported.
#[derive(Debug, thiserror::Error)]
#[error("the server is PostgreSQL {}; {} or later is needed", self.found_text(), text(VERSION_MIN))]
pub(crate) struct TooOld {
    pub(super) found: u32,
}

impl TooOld {
    /// The server's version, as people write it.
    pub(crate) fn found_text(&self) -> String {
        text(self.found)
    }
}

/// A version as people write it.
pub(super) fn text(number: u32) -> String {
    if number >= 100_000 {
        (number / 10_000).to_string()
    } else {
        format!("{}.{}", number / 10_000, number / 100 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn versions_are_written_as_people_do() {
        assert_eq!([90_624, 120_001, 150_019].map(text), ["9.6", "12", "15"]);
    }
}
