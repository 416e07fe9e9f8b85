//! What the first word of a statement of PostgreSQL says.
//!
//! Owns the lists of first words. What stands behind them is [`super::effect`]'s.

use crate::statement::effect::Effect;
use crate::statement::words::{CONTROL, listed};

/// First words of statements that leave nothing on the connection, as far as their functions do not.
const PLAIN: [&str; 30] = [
    "select",
    "insert",
    "update",
    "delete",
    "merge",
    "with",
    "values",
    "table",
    "truncate",
    "show",
    "explain",
    "analyze",
    "vacuum",
    "reindex",
    "cluster",
    "comment",
    "grant",
    "revoke",
    "notify",
    "lock",
    "refresh",
    "create",
    "drop",
    "alter",
    "fetch",
    "move",
    "checkpoint",
    "import",
    "reassign",
    "security",
];

/// First words of statements that may run anything.
const MAY_LEAVE_RESIDUE: [&str; 7] = ["call", "do", "execute", "copy", "declare", "close", "unlisten"];

const RESIDUE: [&str; 4] = ["set", "reset", "listen", "discard"];

/// Only closing the connection undoes these: all prepared statements cannot be dropped, because sqlx keeps its own, and a library
/// stays loaded.
const PERMANENT: [&str; 3] = ["prepare", "deallocate", "load"];

/// The effect of a statement that begins with this word.
pub(super) fn first(word: &str) -> Effect {
    if listed(word, &PLAIN).is_some() {
        return Effect::Nothing;
    }
    if let Some(found) = listed(word, &CONTROL) {
        return Effect::Control(found);
    }
    if let Some(found) = listed(word, &PERMANENT) {
        return Effect::Permanent(found);
    }
    match listed(word, &RESIDUE) {
        Some(found) => Effect::Residue(found),
        None if listed(word, &MAY_LEAVE_RESIDUE).is_some() => Effect::MayLeaveResidue,
        None => Effect::Residue("a statement that is not known to leave nothing"),
    }
}
