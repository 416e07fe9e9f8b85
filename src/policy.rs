//! Every limit of the library, in one place.
//!
//! Owns the numbers and what follows from each. Nothing else in the library has a bound of its own; a [`Policy`] that
//! contradicts itself is refused when [`Sessions`](crate::Sessions) are made.

use std::time::Duration;

/// The limits under which sessions are opened, used, recovered and given back.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// The maximum number of open connections. A scope that needs one more waits.
    pub sessions_max: u32,
    /// How long a scope waits for its connection, opening and every further attempt included. After it:
    /// [`Error::Exhausted`](crate::Error::Exhausted) or [`Error::Unavailable`](crate::Error::Unavailable).
    pub acquire_timeout: Duration,
    /// How many times opening a connection is tried before a call gives up.
    pub attempts_max: u32,
    /// The most connections that are opened at the same time; a call that needs one more waits for one of them, or for one that
    /// comes back. After a failure they are opened one at a time, and every waiting call gets the result.
    pub connects_max: u32,
    /// How long opening one connection may take.
    pub connect_timeout: Duration,
    /// The wait after the first failed attempt; it doubles with each further one and is spread at random by half. While a
    /// database is not up yet it grows with the time that has passed instead: to a hundredth of it.
    pub backoff_first: Duration,
    /// The longest wait between two attempts.
    pub backoff_max: Duration,
    /// An idle connection is probed before it is lent when it was idle for longer than this. Shorter: fewer calls meet a
    /// connection that died meanwhile, and more round trips.
    pub probe_idle_after: Duration,
    /// PostgreSQL: a connection that was idle for at least this long is also probed before a first statement outside of a
    /// transaction that is not safe to rerun: one that writes, or calls an unknown function. Zero: always, so that a caller never
    /// sees a connection error it did not cause, at the price of one extra round trip. A BEGIN is a probe by itself, and a
    /// statement that only reads is rerun.
    pub probe_writes_after: Duration,
    /// How long a probe may take; on PostgreSQL also a BEGIN on a connection that would have to be probed. Four times the first
    /// answer of a connection to PostgreSQL is always allowed, but no more than `begin_timeout`, so that a distance costs no
    /// connections. After it the connection is given up; on PostgreSQL a new one is opened first, one at a time beyond
    /// `sessions_max`, and whichever is answered first is used: a server that stands still for a while costs no connections either.
    pub probe_timeout: Duration,
    /// How long the database may take to say how a cancelled call ended, or whether a transaction is open. After it the
    /// connection is given up.
    pub settle_timeout: Duration,
    /// PostgreSQL: how long after a call was cancelled the server is sent a cancel request for it.
    pub stop_after: Duration,
    /// PostgreSQL: how long sending it may take. Zero disables cancel requests. Use this behind a proxy that shares a server
    /// process between clients, such as PgBouncer in transaction mode: the request would stop another client's work.
    pub stop_timeout: Duration,
    /// What is undone on a connection between two borrowers.
    pub reset: Reset,
    /// How long a BEGIN may take. After it the connection is given up and the BEGIN tried on a fresh one.
    pub begin_timeout: Duration,
    /// How long a COMMIT or ROLLBACK may take. After it a commit is
    /// [`Error::CommitUnknown`](crate::Error::CommitUnknown), and the connection is given up.
    pub end_timeout: Duration,
    /// How long it may take to find out what became of a commit whose answer is missing, for scopes with a
    /// [resolver](crate::Sessions::resolving). After it: [`Error::CommitUnknown`](crate::Error::CommitUnknown).
    pub resolve_timeout: Duration,
    /// How long the database may take to answer a statement of the caller's; for a row stream, to send the next row. After
    /// it: [`Error::NoAnswer`](crate::Error::NoAnswer), and the session stands as after a call that was cancelled.
    /// [`Duration::MAX`] is no limit; then a statement on a connection that froze waits for ever.
    pub statement_timeout: Duration,
    /// How long a connection may take to be cleaned for its next borrower. After it the connection is given up.
    pub release_timeout: Duration,
    /// How long a call waits for another call of its own scope. After it:
    /// [`Error::SessionBusy`](crate::Error::SessionBusy).
    pub queue_timeout: Duration,
    /// How long [`Repository::call`](crate::Repository::call) retries an operation that a concurrent one prevented.
    /// Zero: never.
    pub retry_for: Duration,
    /// A connection older than this is not lent again, and is closed when it is idle.
    pub lifetime_max: Duration,
    /// A connection that was idle for longer than this is closed, at the latest 30 s later. The next scope that needs one opens one.
    pub idle_max: Duration,
    /// The share of `lifetime_max` and `idle_max`, between 0 and 1, by which a connection's are shortened at random, so that a
    /// pool filled in one burst is not emptied in one.
    pub lifetime_jitter: f64,
    /// The most savepoints inside one transaction.
    pub savepoints_max: u32,
    /// How many attempts [`Sessions::run`](crate::Sessions::run) makes at a whole transaction.
    pub transaction_attempts_max: u32,
    /// The most rows on one page of a [`Table`](crate::Table). More: [`Error::NoSuchPage`](crate::Error::NoSuchPage).
    pub page_rows_max: u32,
    /// A scope that lives longer than this is named in the leak report.
    pub leak_after: Duration,
    /// A listener that takes longer than this three times in a row is removed.
    pub listener_limit: Duration,
    /// What happens when a session is lost outside a transaction.
    pub on_loss: OnLoss,
}

/// When a connection is reset. A reset undoes what statements have left on it, such as settings, locks, temporary
/// tables, cursors and LISTEN. On SQLite such a connection is closed in any case.
///
/// A reset costs no round trip of its own if the next borrower begins a transaction: it travels in the message of the BEGIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// After a statement that may have left residue, judged by its text: by its first words, and by calls of functions
    /// that are not known to be harmless. A function that has the name of a built-in one is known from the next opening of a connection
    /// on, a minute after the last one at the earliest.
    IfNeeded,
    /// After every borrower, so that residue of triggers and operators is undone as well. On SQLite it is closed each time.
    Always,
    /// Never: a caller whose statements leave residue has to undo it. What cannot be undone closes the connection, and what the
    /// library sets or lends out is undone even so.
    Never,
}

/// What happens when a session is lost outside a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLoss {
    /// The next call of the scope runs on a fresh session.
    Recover,
    /// Every further call of the scope is [`Error::SessionLost`](crate::Error::SessionLost): in a test, a
    /// lost session should fail the test, not be recovered silently.
    Report,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            sessions_max: 10,
            acquire_timeout: Duration::from_secs(5),
            attempts_max: 8,
            connects_max: 4,
            connect_timeout: Duration::from_secs(2),
            backoff_first: Duration::from_millis(5),
            backoff_max: Duration::from_millis(500),
            probe_idle_after: Duration::from_millis(500),
            probe_writes_after: Duration::ZERO,
            probe_timeout: Duration::from_millis(100),
            settle_timeout: Duration::from_secs(1),
            stop_after: Duration::from_millis(10),
            stop_timeout: Duration::from_secs(5),
            reset: Reset::IfNeeded,
            begin_timeout: Duration::from_secs(10),
            end_timeout: Duration::from_secs(10),
            resolve_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_mins(1),
            release_timeout: Duration::from_secs(1),
            queue_timeout: Duration::from_secs(5),
            retry_for: Duration::from_secs(5),
            lifetime_max: Duration::from_mins(30),
            idle_max: Duration::from_mins(10),
            lifetime_jitter: 0.1,
            savepoints_max: 16,
            transaction_attempts_max: 5,
            page_rows_max: 1000,
            leak_after: Duration::from_mins(1),
            listener_limit: Duration::from_millis(100),
            on_loss: OnLoss::Recover,
        }
    }
}

/// Two limits that contradict each other, or one that allows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy contradicts itself: {0}")]
pub struct PolicyError(String);

impl Policy {
    /// The defaults for a test: a session that is lost is reported instead of being replaced.
    #[must_use]
    pub fn for_tests() -> Self {
        Self { on_loss: OnLoss::Report, ..Self::default() }
    }

    /// Checks that the limits do not contradict each other.
    ///
    /// # Errors
    /// [`PolicyError`] names the first contradiction, with the values and what to do.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let counts = [
            ("sessions_max", self.sessions_max),
            ("attempts_max", self.attempts_max),
            ("connects_max", self.connects_max),
            ("transaction_attempts_max", self.transaction_attempts_max),
            ("page_rows_max", self.page_rows_max),
        ];
        for (name, value) in counts {
            if value == 0 {
                return Err(PolicyError(format!("{name} is 0, which allows nothing; set it to at least 1")));
            }
        }
        let limits = [
            ("acquire_timeout", self.acquire_timeout),
            ("connect_timeout", self.connect_timeout),
            ("probe_timeout", self.probe_timeout),
            ("settle_timeout", self.settle_timeout),
            ("begin_timeout", self.begin_timeout),
            ("end_timeout", self.end_timeout),
            ("resolve_timeout", self.resolve_timeout),
            ("statement_timeout", self.statement_timeout),
            ("release_timeout", self.release_timeout),
            ("queue_timeout", self.queue_timeout),
            ("lifetime_max", self.lifetime_max),
            ("idle_max", self.idle_max),
            ("listener_limit", self.listener_limit),
        ];
        for (name, value) in limits {
            if value.is_zero() {
                return Err(PolicyError(format!("{name} is 0, so it would expire at once; give it a duration")));
            }
        }
        if self.backoff_first > self.backoff_max {
            return Err(PolicyError(format!(
                "backoff_first ({:?}) is longer than backoff_max ({:?})",
                self.backoff_first, self.backoff_max
            )));
        }
        if !(0.0..1.0).contains(&self.lifetime_jitter) {
            return Err(PolicyError(format!(
                "lifetime_jitter is {}; it is a share of lifetime_max, from 0 up to but not including 1",
                self.lifetime_jitter
            )));
        }
        if self.probe_timeout > self.acquire_timeout {
            return Err(PolicyError(format!(
                "a probe may take {:?}, longer than the whole acquire_timeout of {:?}",
                self.probe_timeout, self.acquire_timeout
            )));
        }
        Ok(())
    }

    /// Returns the wait before the next attempt at a database that is not up yet, given the time that has passed;
    /// spread by half. After a short outage callers are served soon, and their attempts do not prolong a long one.
    pub(crate) fn outage_backoff(&self, waited: Duration, random: u64) -> Duration {
        let longest = (waited / 100).max(self.backoff_first).min(self.backoff_max);
        spread(longest, random)
    }

    /// Returns the wait before attempt `attempt` (the second is 1), spread by half; `random` is any number.
    pub(crate) fn backoff(&self, attempt: u32, random: u64) -> Duration {
        let longest = self.backoff_first.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(self.backoff_max);
        spread(longest, random)
    }
}

/// Between half of this and all of it.
fn spread(longest: Duration, random: u64) -> Duration {
    let share = u32::try_from(random % 512).unwrap_or(0);
    longest.saturating_mul(512 + share) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_together() {
        assert_eq!(Policy::default().validate(), Ok(()));
    }

    #[test]
    fn contradictions_are_named() {
        let of = |change: fn(&mut Policy)| {
            let mut policy = Policy::default();
            change(&mut policy);
            policy.validate().expect_err("contradiction").to_string()
        };
        assert!(of(|policy| policy.sessions_max = 0).contains("sessions_max is 0"));
        assert!(of(|policy| policy.page_rows_max = 0).contains("page_rows_max is 0"));
        assert!(of(|policy| policy.acquire_timeout = Duration::ZERO).contains("acquire_timeout is 0"));
        assert!(of(|policy| policy.backoff_first = Duration::from_mins(1)).contains("longer than backoff_max"));
        assert!(of(|policy| policy.lifetime_jitter = 1.0).contains("lifetime_jitter"));
        assert!(of(|policy| policy.lifetime_jitter = f64::NAN).contains("lifetime_jitter"));
        assert!(of(|policy| policy.probe_timeout = Duration::from_mins(1)).contains("acquire_timeout"));
    }

    #[test]
    fn first_second_of_an_outage_is_asked_about_every_ten_milliseconds() {
        let policy = Policy::default();
        for waited in [0, 1, 500, 1000].map(Duration::from_millis) {
            assert!(policy.outage_backoff(waited, u64::MAX) <= Duration::from_millis(10));
            assert!(policy.outage_backoff(waited, 0) >= policy.backoff_first / 2);
        }
        assert_eq!(policy.outage_backoff(Duration::from_mins(60), 0), policy.backoff_max / 2);
    }

    #[test]
    fn backoff_doubles_and_is_bounded() {
        let policy = Policy::default();
        for random in [0, 511, u64::MAX] {
            let waits: Vec<_> = (1..40).map(|attempt| policy.backoff(attempt, random)).collect();
            assert!(waits.iter().all(|wait| *wait <= policy.backoff_max && *wait >= policy.backoff_first / 2));
            assert!(waits.is_sorted());
        }
    }
}
