//! The layers of each crate.
//!
//! A file imports from the lines above its own alone. The names that stand in one line stand beside each other.

use super::layers::Layers;

/// The crates whose layers are kept.
pub(super) const CRATES: [Layers; 0] = [];

/// The sources in which no files import each other in a circle.
pub(super) const WITHOUT_CIRCLES: [&str; 5] =
    ["src/", "harness/src/", "harness/wire/src/", "harness/lab/src/", "harness/cli/src/"];
