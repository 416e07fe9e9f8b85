//! Retrying a statement of which nothing was done.
//!
//! Owns when a retry is possible: the statement's connection was dead, or read-only, before its first use, or had prepared
//! the statement before its tables were changed. Whether a statement is safe to rerun is each database's own decision.

use super::prepared::{DatabaseOf, Prepared};
use crate::call::{InFlight, ReadOnly};
use crate::error::Error;
use crate::source::{ConnectionError, Source, SqlxConnection};

/// How often one statement has been retried.
#[derive(Default)]
pub(super) struct Retry {
    times: u32,
}

impl Retry {
    /// The values for another attempt.
    pub(super) fn spare<S: Source>(
        &self,
        call: &mut InFlight<'_, S>,
        prepared: &Prepared<DatabaseOf<S>>,
    ) -> Option<Prepared<DatabaseOf<S>>>
    where
        S::Connection: SqlxConnection,
    {
        let here = S::Connection::RETRIES && self.times == 0 && call.is_autocommit();
        let possible = here || call.is_untouched() && self.times < call.attempts_max();
        if possible { prepared.spare::<S::Connection>() } else { None }
    }

    /// Whether a statement that failed with this error may be retried.
    pub(super) fn is_allowed<S: Source>(&self, call: &mut InFlight<'_, S>, sql: &str, error: &sqlx::Error) -> bool
    where
        S::Connection: SqlxConnection,
    {
        let can_go_on = if S::Connection::is_outdated(error) {
            self.times == 0 && call.is_autocommit()
        } else {
            call.is_untouched()
        };
        let is_hopeless = S::Connection::is_read_only(error) && call.why_read_only() != ReadOnly::Turned;
        can_go_on && !is_hopeless && S::Connection::may_retry(sql, error, self.times)
    }

    /// Continues the call, on another connection if this one failed.
    pub(super) async fn go_on<S: Source>(
        &mut self,
        call: &mut InFlight<'_, S>,
        error: sqlx::Error,
    ) -> Result<(), sqlx::Error>
    where
        S::Connection: SqlxConnection,
    {
        self.times += 1;
        if S::Connection::is_outdated(&error) {
            let patience = call.patience();
            let forget = call.connection().forget();
            // A connection that broke here reports it again when the statement runs.
            let _ = patience.answer(forget).await.map_err(Error::into_sqlx)?;
            return Ok(());
        }
        if S::Connection::is_read_only(&error) {
            call.retire();
        }
        let failure = ConnectionError::new(S::Connection::class(&error), error);
        call.replace(&failure).await.map_err(Error::into_sqlx)
    }
}
