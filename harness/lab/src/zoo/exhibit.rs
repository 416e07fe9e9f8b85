//! What an exhibit is, and how the control with a flaw becomes a subject.

use unstale_harness::chain::Subject;
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::Backend;

/// One broken system.
pub struct Exhibit {
    /// The system. It declares no more than it needs to be wrong.
    pub subject: &'static dyn Subject,
    /// The same system with everything that its control can do.
    pub in_full: &'static dyn Subject,
    /// What is wrong with it.
    pub defect: &'static str,
    /// Where such a defect is met.
    pub origin: &'static str,
    /// The invariant that must break: the one that the smallest plan breaks.
    pub invariant: Invariant,
    /// The number of commands of that plan; shrinking must get there.
    pub smallest_known: usize,
}

impl Exhibit {
    /// What it runs on.
    pub fn backend(&self) -> Backend {
        self.subject.backend()
    }
}

/// One broken system that was built to measure the harness. Whatever breaks in it counts: its control raises no alarm.
pub struct Measure {
    /// The system. It declares no more than it needs to be wrong.
    pub subject: &'static dyn Subject,
    /// The same system with everything that its control can do.
    pub in_full: &'static dyn Subject,
    /// What is wrong with it.
    pub defect: &'static str,
    /// Where such a defect is met.
    pub origin: &'static str,
    /// Why a harness passes it.
    pub blind_spot: BlindSpot,
    /// Whether it is found today.
    pub reach: Reach,
}

impl Measure {
    /// What it runs on.
    pub fn backend(&self) -> Backend {
        self.subject.backend()
    }
}

/// Why a harness passes a broken system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlindSpot {
    /// The oracle has to demand something that no reply contradicts.
    Oracle,
    /// The generator has to draw something rare.
    Generator,
    /// The manner of running has to leave room for it.
    Manner,
}

/// Whether a measure is found with default settings, within the zoo's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// With every seed that was tried.
    Reliable,
    /// Not with every seed, or never. It counts in the figures, and no test demands it.
    NotYet,
}

/// The control with this name and flaw on this database, as a subject. A flaw may have a number, and the system an extension.
/// With a list of capabilities, it can do no more than these: no more than it needs to be wrong.
macro_rules! subject {
    ($name:literal $source:ident $flaw:ident $(($number:literal))? $(with $extension:ident)? $([$($can:ident),*])?) => {{
        struct Exhibited;

        impl $crate::systems::control::Spec for Exhibited {
            const NAME: Option<&'static str> = Some($name);
            const FLAW: Option<$crate::systems::control::Flaw> = Some($crate::systems::control::Flaw::$flaw $(($number))?);

            $(fn capabilities() -> Option<unstale_harness::system::Capabilities> {
                use unstale_harness::system::{Capabilities, Capability};
                Some(Capabilities::of($crate::zoo::exhibit::subject!(@needs $source [$($can),*])))
            })?

            $(fn extension() -> Option<&'static dyn unstale_harness::system::Extension> {
                Some(&$crate::systems::control::$extension)
            })?
        }

        &$crate::zoo::exhibit::subject!(@on $source)
    }};
    (@needs Sqlite [$($can:ident),*]) => { [Capability::Identity, $(Capability::$can),*] };
    (@needs Postgres [$($can:ident),*]) => { [Capability::Identity, Capability::Postgres, $(Capability::$can),*] };
    (@needs Sim [$($can:ident),*]) => {
        [Capability::Identity, Capability::Simulation, Capability::Polls, $(Capability::$can),*]
    };
    (@on Sqlite) => { unstale_harness::chain::Of::<$crate::systems::control::SqliteControl<Exhibited>>::new() };
    (@on Postgres) => { unstale_harness::chain::Of::<$crate::systems::control::PostgresControl<Exhibited>>::new() };
    (@on Sim) => { $crate::sim::SimulatedSystem::<$crate::sim::control::SimControl<Exhibited>>::new() };
}

pub(super) use subject;
