//! An application's two wirings, before and after a repair that left the cause.
//!
//! They are no exhibits: they can do everything that an application can do, and more than one invariant breaks.

use super::exhibit::subject;
use unstale_harness::chain::Subject;

/// The wirings, each with what it is.
pub static WIRINGS: [(&dyn Subject, &str); 2] = [
    (
        subject!("wiring-static-session" Sqlite StaticSession),
        "an application whose session is registered as a static instance",
    ),
    (
        subject!("wiring-captive-services" Sqlite CaptiveSession),
        "the same with scoped sessions under singleton services",
    ),
];
