//! The one test that a registry takes part in.

use std::sync::Arc;

use crate::health::Holder;
use crate::sync::Shared;

/// Where a registry keeps the test that has joined it.
pub(crate) type Test = Arc<Shared<Option<Holder>>>;

/// Reserves a registry for one test, until it is dropped.
pub(crate) struct Reservation {
    test: Test,
}

impl Reservation {
    /// Reserves the place for this test; fails with the test that has reserved it already.
    pub(super) fn take(place: &Test, test: &Holder) -> Result<Self, Holder> {
        place.with(|reserved| match reserved {
            Some(other) => Err(other.clone()),
            None => {
                *reserved = Some(test.clone());
                Ok(Self { test: Arc::clone(place) })
            }
        })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.test.with(|reserved| *reserved = None);
    }
}
