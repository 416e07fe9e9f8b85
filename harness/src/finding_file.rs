//! The files that findings are kept in.
//!
//! Owns their names, so that findings of different shapes are kept beside each other and the same one takes its own place, and
//! that a file is written whole or not at all. Which plans are kept is the business of [`crate::explore`] and
//! [`crate::check`].

use std::path::{Path, PathBuf};

use crate::invariant::Invariant;
use crate::plan::{Expectation, Plan, PlanFile};
use crate::shrink::fingerprint;

/// How far the plan of a finding has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// As it was drawn.
    Unshrunk,
    /// As small as it gets.
    Minimal,
}

/// The file of one finding.
pub(crate) struct FindingFile {
    name: String,
    file: PlanFile,
}

impl FindingFile {
    /// The file of a plan that breaks this invariant in this system; `recorded` is what happened.
    pub(crate) fn of(
        system: &str,
        plan: &Plan,
        invariant: Invariant,
        recorded: Vec<String>,
        origin: &str,
        stage: Stage,
    ) -> Self {
        let (name, stage) = match stage {
            Stage::Minimal => (format!("{invariant}-{:08x}", hash(&fingerprint(invariant, plan))), "minimal"),
            // By its origin, so that running the same seed again takes its place, or takes it away.
            Stage::Unshrunk => (format!("{invariant}-unshrunk-{:08x}", hash(origin)), "unshrunk"),
        };
        let file = PlanFile {
            plan: plan.clone(),
            system: Some(system.to_owned()),
            expect: Some(Expectation::Violation(invariant)),
            origin: Some(format!("{origin}, {stage}, unstale {}", env!("CARGO_PKG_VERSION"))),
            recorded,
        };
        Self { name: format!("{system}-{name}.toml"), file }
    }

    /// Writes it; if that fails, the error holds the reason and the plan itself.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf, String> {
        let Self { name, file } = self;
        let written = write_atomically(folder, name, &file.to_string());
        written.map_err(|error| format!("{}: {error}; the plan was:\n{file}", folder.join(name).display()))
    }
}

/// FNV-1a: a name that stays the same from build to build.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Writes a file whole or not at all.
///
/// # Errors
/// The folder cannot be made or written, or the disk is full.
pub fn write_atomically(folder: &Path, name: &str, text: &str) -> std::io::Result<PathBuf> {
    use std::io::Write;
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    let path = folder.join(name);
    file.persist(&path).map_err(|it| it.error)?;
    Ok(path)
}
