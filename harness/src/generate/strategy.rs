//! Plans for proptest: an ordinary hand-written strategy.
//!
//! It only generates: `check!` shrinks with [`crate::shrink`], since proptest's own shrinker would take any failure for the
//! same one.

use std::fmt;

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::one::generate;
use super::profile::Profile;
use crate::capability::Capabilities;
use crate::extension::Extension;
use crate::plan::Plan;

/// Plans for a system with these capabilities, as a proptest strategy that only generates.
pub fn plans(profile: Profile, capabilities: Capabilities, extension: Option<&'static dyn Extension>) -> Plans {
    Plans { profile, capabilities, extension }
}

/// See [`plans`].
#[derive(Clone)]
pub struct Plans {
    profile: Profile,
    capabilities: Capabilities,
    extension: Option<&'static dyn Extension>,
}

impl fmt::Debug for Plans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plans").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Strategy for Plans {
    type Tree = Drawn;
    type Value = Plan;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        Ok(Drawn(generate(&self.profile, self.capabilities, self.extension, runner.rng())))
    }
}

/// A plan that was drawn; it does not simplify.
#[derive(Clone, Debug)]
pub struct Drawn(Plan);

impl ValueTree for Drawn {
    type Value = Plan;

    fn current(&self) -> Plan {
        self.0.clone()
    }

    fn simplify(&mut self) -> bool {
        false
    }

    fn complicate(&mut self) -> bool {
        false
    }
}
