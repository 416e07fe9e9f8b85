//! Why a word is no fault, or a fault cannot happen at a moment.

/// These words are no fault, or no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// No such word.
    #[error("expected {expected}, found `{found}`")]
    Unknown {
        /// What would have been accepted.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// They do not go together.
    #[error("`{fault}` cannot happen at `{moment}`: {why}")]
    Senseless {
        /// What was to happen.
        fault: String,
        /// When.
        moment: String,
        /// When it can happen.
        why: &'static str,
    },
}
