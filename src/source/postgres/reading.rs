//! What must be known of a server before the text of a statement says what it does there.
//!
//! Owns two answers, learned where a connection is opened: whether a backslash in a string is a letter like any other, without which no
//! text can be read; and which functions of the application have the name of a built-in one, which are not believed to be
//! harmless ([`crate::statement::postgres`]). A function that is made later is known from the next opening on, a minute after the
//! last question at the earliest.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Executor, Row};

use super::connection::connect_failure;
use crate::source::error::{ConnectionError, ErrorClass};
use crate::source::runtime;
use crate::statement::postgres::{believed, disbelieve};
use crate::sync::Shared;

/// How long the answer about functions is good for.
const GOOD_FOR: Duration = Duration::from_mins(1);

/// Why no statement can be read there.
#[derive(Debug, thiserror::Error)]
#[error(
    "standard_conforming_strings is off, so what a statement does cannot be told by its text: set it on for this role, this \
     database, or with `PgConnectOptions::options`"
)]
struct StringsOff;

/// When the second question was answered last, by the clock of the runtime.
#[derive(Default)]
pub(super) struct Reading {
    answered: Shared<Option<Duration>>,
}

impl Reading {
    /// Learns what this server does, over a connection to it that was just opened and has answered this.
    ///
    /// # Cancel safety
    /// Cancel safe: somebody else asks.
    pub(super) async fn learn(&self, connection: &mut PgConnection, answer: &PgRow) -> Result<(), ConnectionError> {
        // A simple query is answered in text.
        if answer.try_get_unchecked::<&str, _>("strings").map_err(connect_failure)? == "off" {
            return Err(ConnectionError::new(ErrorClass::Rejected, StringsOff));
        }
        let now = runtime::now();
        if self.answered.with(|it| it.is_some_and(|then| now.saturating_sub(then) < GOOD_FOR)) {
            return Ok(());
        }
        let names =
            connection.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(question()))).await.map_err(connect_failure)?;
        for name in &names {
            disbelieve(name.try_get_unchecked("name").map_err(connect_failure)?);
        }
        self.answered.with(|it| *it = Some(now));
        Ok(())
    }
}

/// What extensions bring does what it is known for.
fn question() -> String {
    let names: Vec<&str> = believed().collect();
    format!(
        "select distinct proname::text as name from pg_proc where proname = any('{{{}}}'::name[]) \
         and pronamespace <> 'pg_catalog'::regnamespace \
         and not exists (select from pg_depend where classid = 'pg_proc'::regclass and objid = pg_proc.oid and deptype = 'e')",
        names.join(",")
    )
}
