//! The health of the sessions: counters, recovery times, scopes that live too long.
//!
//! Owns the counters, which say what happened and decide nothing, and the shape of the reports. `lender` counts. The same numbers go to
//! `metrics` under `unstale_…` names as they change.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::metrics;
use crate::source::Usage;
use crate::sync::Shared;

/// A snapshot of the sessions' health.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Connections.
    pub usage: Usage,
    /// Scopes that have not ended.
    pub scopes: usize,
    /// Connections that were lent to a scope.
    pub lent: u64,
    /// Sessions that were lost while a scope had them.
    pub lost: u64,
    /// Sessions that replaced a lost one.
    pub recovered: u64,
    /// Connections that were discarded.
    pub discarded: u64,
    /// Failed attempts to connect.
    pub connects_failed: u64,
    /// Calls that were refused because their handle was stale.
    pub stale_refused: u64,
    /// Transactions that were retried.
    pub transactions_retried: u64,
    /// Listeners that were removed because they panicked or blocked.
    pub listeners_removed: u64,
    /// How long recoveries took.
    pub recovery: RecoveryTimes,
    /// Scopes that live longer than `leak_after`, the oldest first.
    pub leaks: Vec<Holder>,
}

/// The distribution of recovery times, in microseconds, up to a minute; 3 significant figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryTimes {
    /// How many.
    pub count: u64,
    /// The median.
    pub p50: u64,
    /// 99 of 100 were at least as fast.
    pub p99: u64,
    /// The slowest.
    pub max: u64,
}

/// Where a scope comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The scope's number.
    pub id: u64,
    /// The scope's name.
    pub name: Cow<'static, str>,
    /// Where it was opened.
    pub opened: &'static Location<'static>,
    /// When, on the source's clock.
    pub since: Duration,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` #{}, opened at {}", self.name, self.id, self.opened)
    }
}

/// The answer of a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    /// A simple query was answered.
    Valid {
        /// In this time.
        took: Duration,
    },
    /// It was not.
    Invalid {
        /// Why.
        why: String,
    },
    /// Every connection is lent: the database could not be checked, and no error is known.
    Exhausted(Usage),
    /// The sessions were closed.
    Closed,
}

/// A number that only grows.
#[derive(Debug)]
struct Counter {
    value: AtomicU64,
    name: &'static str,
}

impl Counter {
    const fn new(name: &'static str) -> Self {
        Self { value: AtomicU64::new(0), name }
    }

    fn add(&self) {
        self.value.fetch_add(1, Ordering::Relaxed);
        metrics::count(self.name);
    }

    fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

/// Something that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Lent,
    Lost,
    Discarded,
    ConnectFailed,
    StaleRefused,
    TransactionRetried,
    ListenerRemoved,
}

#[derive(Debug)]
pub(crate) struct Counters {
    lent: Counter,
    lost: Counter,
    recovered: Counter,
    discarded: Counter,
    connects_failed: Counter,
    stale_refused: Counter,
    transactions_retried: Counter,
    listeners_removed: Counter,
    recovery: Shared<Option<Histogram<u64>>>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            lent: Counter::new("unstale_sessions_lent_total"),
            lost: Counter::new("unstale_sessions_lost_total"),
            recovered: Counter::new("unstale_sessions_recovered_total"),
            discarded: Counter::new("unstale_connections_discarded_total"),
            connects_failed: Counter::new("unstale_connects_failed_total"),
            stale_refused: Counter::new("unstale_stale_calls_refused_total"),
            transactions_retried: Counter::new("unstale_transactions_retried_total"),
            listeners_removed: Counter::new("unstale_listeners_removed_total"),
            recovery: Shared::default(),
        }
    }
}

/// The longest recovery time that is recorded exactly; longer ones count as this.
const RECOVERY_MAX: Duration = Duration::from_mins(1);

impl Counters {
    /// Counts one more.
    pub(crate) fn add(&self, count: Count) {
        let counter = match count {
            Count::Lent => &self.lent,
            Count::Lost => &self.lost,
            Count::Discarded => &self.discarded,
            Count::ConnectFailed => &self.connects_failed,
            Count::StaleRefused => &self.stale_refused,
            Count::TransactionRetried => &self.transactions_retried,
            Count::ListenerRemoved => &self.listeners_removed,
        };
        counter.add();
    }

    /// A session was recovered.
    pub(crate) fn recovered_in(&self, took: Duration) {
        self.recovered.add();
        metrics::record_seconds("unstale_recovery_seconds", took);
        let micros = u64::try_from(took.min(RECOVERY_MAX).as_micros()).unwrap_or(u64::MAX).max(1);
        self.recovery.with(|histogram| {
            if histogram.is_none() {
                *histogram = Histogram::new_with_max(60_000_000, 3).ok();
            }
            if let Some(histogram) = histogram {
                histogram.saturating_record(micros);
            }
        });
    }

    pub(crate) fn health(&self, usage: Usage, scopes: usize, leaks: Vec<Holder>) -> Health {
        let recovery = self.recovery.with(|histogram| {
            histogram.as_ref().map_or_else(RecoveryTimes::default, |times| RecoveryTimes {
                count: times.len(),
                p50: times.value_at_quantile(0.5),
                p99: times.value_at_quantile(0.99),
                max: times.max(),
            })
        });
        Health {
            usage,
            scopes,
            lent: self.lent.value(),
            lost: self.lost.value(),
            recovered: self.recovered.value(),
            discarded: self.discarded.value(),
            connects_failed: self.connects_failed.value(),
            stale_refused: self.stale_refused.value(),
            transactions_retried: self.transactions_retried.value(),
            listeners_removed: self.listeners_removed.value(),
            recovery,
            leaks,
        }
    }
}
