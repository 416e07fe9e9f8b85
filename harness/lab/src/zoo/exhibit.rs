//! What an exhibit is, and how the control with a flaw becomes a subject.

use unstale_harness::chain::Subject;
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::Backend;

/// One broken system.
pub struct Exhibit {
    /// The system.
    pub subject: &'static dyn Subject,
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

/// The control with this name and flaw on this database, as a subject. With a list of capabilities, it can do no more than
/// these: no more than it needs to be wrong.
macro_rules! subject {
    ($name:literal $source:ident $flaw:ident $([$($can:ident),*])?) => {{
        struct Exhibited;

        impl $crate::systems::control::Spec for Exhibited {
            const NAME: Option<&'static str> = Some($name);
            const FLAW: Option<$crate::systems::control::Flaw> = Some($crate::systems::control::Flaw::$flaw);

            $(fn capabilities() -> Option<unstale_harness::system::Capabilities> {
                use unstale_harness::system::{Capabilities, Capability};
                Some(Capabilities::of($crate::zoo::exhibit::subject!(@needs $source [$($can),*])))
            })?
        }

        &$crate::zoo::exhibit::subject!(@on $source)
    }};
    (@needs Sqlite [$($can:ident),*]) => { [Capability::Identity, $(Capability::$can),*] };
    (@needs Postgres [$($can:ident),*]) => { [Capability::Identity, Capability::Postgres, $(Capability::$can),*] };
    (@on Sqlite) => { unstale_harness::chain::Of::<$crate::systems::control::SqliteControl<Exhibited>>::new() };
    (@on Postgres) => { unstale_harness::chain::Of::<$crate::systems::control::PostgresControl<Exhibited>>::new() };
    (@on Sim) => { $crate::sim::SimulatedSystem::<$crate::sim::control::SimControl<Exhibited>>::new() };
}

pub(super) use subject;
