//! Flaws that are looked for in the simulation by name, apart from the zoo.

use unstale_lab::systems::control::{Flaw, Spec};

/// A write whose outcome is unknown is retried.
pub(crate) struct BlindRetry;

impl Spec for BlindRetry {
    const NAME: Option<&'static str> = Some("blind-retry-sim");
    const FLAW: Option<Flaw> = Some(Flaw::RetriesBlindly);
}

/// A connection that is lost inside a transaction is replaced, and the transaction goes on.
pub(crate) struct RecoveryInside;

impl Spec for RecoveryInside {
    const NAME: Option<&'static str> = Some("recovery-inside-sim");
    const FLAW: Option<Flaw> = Some(Flaw::RecoversInside);
}
