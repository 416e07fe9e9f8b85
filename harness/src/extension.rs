//! Further commands of a system: the trait [`Extension`].
//!
//! Owns the seam alone. The harness schedules, cancels, records, shrinks and reports these commands, and leaves their
//! meaning to the implementation.

use crate::history::History;
use crate::verdict::Violation;

/// Further commands of a system: their generator, what they mean, and their invariants.
///
/// The commands stand in plans as `extra WORDS`; the harness schedules, cancels, records, shrinks and reports them like
/// its own and leaves their meaning to the extension.
pub trait Extension: Send + Sync {
    /// Draws the words of one command.
    fn generate(&self, random: &mut dyn FnMut(u32) -> u32) -> String;

    /// Whether these words are a command of this extension.
    ///
    /// # Errors
    /// Describes the words that are accepted.
    fn parse(&self, words: &str) -> Result<(), String>;

    /// Simpler commands to try in its place while shrinking.
    fn simpler(&self, words: &str) -> Vec<String> {
        let _ = words;
        Vec::new()
    }

    /// Steps the extension's own model through the history and returns the first violation.
    fn judge(&self, history: &History) -> Judged;
}

/// What an [`Extension`] found in a history.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// How many times its invariants were evaluated.
    pub evaluated: u32,
    /// The first violation.
    pub violation: Option<Violation>,
}
