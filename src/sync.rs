//! The short locks of the library: held for a transition, never across an await.
//!
//! In one place, so that a model checker's locks can replace them.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// A value behind a short lock.
#[derive(Default)]
pub(crate) struct Shared<T>(Mutex<T>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Does something with the value.
    pub(crate) fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        // Every change under this lock leaves the value consistent at every point, even if it panics.
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}
