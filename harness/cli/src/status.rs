//! How a run of the command ends, and the exit statuses.
//!
//! Owns the order of verdicts and the number of each. Whether a plan broke something is [`unstale_harness`]'s business; what
//! goes wrong in the command itself is [`crate::error`]'s.

use std::fmt;

/// The exit statuses, as `--help` shows them.
pub(crate) const HELP: &str = "\
Exit status:
  0    pass: nothing broke, and enough was tried
  1    wrong usage, or input or output that failed
  2    violation: something broke, whatever failed or was interrupted afterwards
  3    inconclusive: this run proves nothing, and says why
  130  interrupted (Ctrl-C) before anything broke, or ended at once by a second Ctrl-C
  141  nobody reads the output any more (a closed pipe), and nothing broke before

Find out more about a command with `unstale help COMMAND`.";

/// Wrong usage, or input or output that failed.
pub(crate) const FAILED: u8 = 1;

/// What shells report of a program that is ended by Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// What shells report of a program that ended because its output was closed.
pub(crate) const READER_GONE: u8 = 141;

/// How a run of the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing broke, and enough was tried.
    Pass,
    /// Something broke.
    Violation,
    /// The run proves nothing.
    Inconclusive,
    /// The run was interrupted before anything broke.
    Interrupted,
}

impl Status {
    /// The exit status of the process.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Violation => 2,
            Self::Inconclusive => 3,
            Self::Interrupted => INTERRUPTED,
        }
    }

    /// The status of several runs together: a violation in one of them is one, and only passes make a pass.
    pub(crate) fn worst(all: impl IntoIterator<Item = Self>) -> Self {
        let severity = |status: &Self| match status {
            Self::Pass => 0,
            Self::Inconclusive => 1,
            Self::Interrupted => 2,
            Self::Violation => 3,
        };
        all.into_iter().max_by_key(severity).unwrap_or(Self::Inconclusive)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Violation => "violation",
            Self::Inconclusive => "inconclusive",
            Self::Interrupted => "interrupted",
        })
    }
}

impl serde::Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn violation_outranks_everything_and_only_passes_make_a_pass() {
        use Status::{Inconclusive, Interrupted, Pass, Violation};
        assert_eq!(Status::worst([Pass, Violation, Interrupted, Inconclusive]), Violation);
        assert_eq!(Status::worst([Inconclusive, Interrupted, Pass]), Interrupted);
        assert_eq!(Status::worst([Pass, Inconclusive]), Inconclusive);
        assert_eq!(Status::worst([Pass, Pass]), Pass);
        assert_eq!(Status::worst([]), Inconclusive, "nothing was run");
    }
}
