//! The plan of a file, ready to be run by `replay`, `shrink` and `run`.
//!
//! Owns the choice of its system, and the check that the plan makes sense there. It is not run here.

use std::path::Path;

use unstale_harness::chain::{Chain, Subject};
use unstale_harness::oracle::Verdict;
use unstale_harness::plan::PlanFile;

use crate::error::CommandError;
use crate::systems;

/// The system that the file is for, unless another one is given.
///
/// # Errors
/// The file names none, or one that does not exist.
pub(crate) fn subject(file: &PlanFile, given: Option<&str>, path: &Path) -> Result<&'static dyn Subject, CommandError> {
    let path = path.display().to_string();
    match given.or(file.system.as_deref()) {
        Some(name) => systems::named_in(&path, name),
        None => Err(CommandError::Usage(format!("{path} names no system: give one with --system"))),
    }
}

/// The chain that the file's plan goes through.
///
/// # Errors
/// The plan makes no sense for the system.
pub(crate) fn admitted(
    subject: &'static dyn Subject,
    file: &PlanFile,
    path: &Path,
) -> Result<Chain<'static>, CommandError> {
    let chain = Chain::new(subject);
    let inadmissible = |why| CommandError::Inadmissible { file: path.display().to_string(), why };
    chain.admits(&file.plan).map_err(inadmissible)?;
    Ok(chain)
}

/// A verdict in words.
pub(crate) fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "pass".into(),
        Verdict::Violation(violation) => format!("violation of {}", violation.invariant),
        Verdict::Inconclusive(why) => format!("inconclusive: {why}"),
    }
}
