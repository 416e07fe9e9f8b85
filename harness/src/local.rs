//! The future of a plan: boxed, and bound to the thread that the plan runs on.

use std::pin::Pin;

/// A future that stays on the thread of its plan.
pub type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
