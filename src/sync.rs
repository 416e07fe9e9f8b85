//! The short locks of the library: held for a transition, never across an await; and the guard of a lock that is waited for.
//!
//! In one place, so that a model checker's locks can replace them.

use std::fmt;
use std::ops::{Deref, DerefMut};
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

/// What a fair lock belongs to, and who learns of everybody who lets go of it.
pub(crate) trait Lockable {
    /// Somebody who had the lock, or waited for it, has gone; the lock is free unless somebody else has it.
    fn left(&self);
}

/// The guard of a lock. Its owner learns when it is let go, and also when somebody who waits for it is dropped, whose turn may have
/// come: whatever was left for the next one to do would otherwise be done by nobody.
pub(crate) struct Held<G, O: Lockable> {
    // Dropped first: what leaves finds the lock free.
    guard: G,
    _leaving: Leaving<O>,
}

struct Leaving<O: Lockable>(O);

impl<O: Lockable> Drop for Leaving<O> {
    fn drop(&mut self) {
        self.0.left();
    }
}

impl<G, O: Lockable> Held<G, O> {
    /// Has the lock already.
    pub(crate) fn new(owner: O, guard: G) -> Self {
        Self { guard, _leaving: Leaving(owner) }
    }

    /// Waits for the lock.
    pub(crate) async fn wait(owner: O, lock: impl Future<Output = G>) -> Self {
        let leaving = Leaving(owner);
        let guard = lock.await;
        Self { guard, _leaving: leaving }
    }
}

impl<G: Deref, O: Lockable> Deref for Held<G, O> {
    type Target = G::Target;

    fn deref(&self) -> &Self::Target {
        &self.guard
    }
}

impl<G: DerefMut, O: Lockable> DerefMut for Held<G, O> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.guard
    }
}
