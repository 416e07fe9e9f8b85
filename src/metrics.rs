//! Numbers for the `metrics` facade, if the feature `metrics` is on; otherwise nothing.
//!
//! The one place that knows the facade. What is counted, and under which name, is [`health`](crate::health)'s.

use std::time::Duration;

/// Adds one to the counter of this name.
pub(crate) fn count(name: &'static str) {
    #[cfg(feature = "metrics")]
    ::metrics::counter!(name).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = name;
}

/// Records a duration in the histogram of this name.
pub(crate) fn record_seconds(name: &'static str, took: Duration) {
    #[cfg(feature = "metrics")]
    ::metrics::histogram!(name).record(took.as_secs_f64());
    #[cfg(not(feature = "metrics"))]
    let _ = (name, took);
}
