//! A sqlx connection, as the application's statements see it.
//!
//! Owns the traits of a database's statements and errors: the residue that they leave, and which are safe to retry. The
//! library's own operations are in [`Connection`].

use super::connection::Connection;
use super::error::ErrorClass;
use crate::statement::Effect;

/// A sqlx connection, which makes `&Handle` a [`sqlx::Executor`].
pub trait SqlxConnection: Connection {
    /// The database.
    type Database: sqlx::Database;

    /// Whether some errors prove that the statement was not done, so that [a second set](SqlxConnection::spare) of its values is
    /// worth keeping for a retry.
    const RETRIES: bool = false;

    /// The most values that one statement can have, where the driver refuses more before it sends anything.
    const VALUES_MAX: usize = usize::MAX;

    /// The connection itself. The library runs statements on it, and lends it out in
    /// [`Handle::with_connection`](crate::Handle::with_connection) alone.
    fn sqlx(&mut self) -> &mut <Self::Database as sqlx::Database>::Connection;

    /// Returns how many rows a statement changed.
    fn rows_affected(done: &<Self::Database as sqlx::Database>::QueryResult) -> u64;

    /// Classifies an error of this database.
    fn class(error: &sqlx::Error) -> ErrorClass;

    /// Returns what a statement with this text does besides its work.
    fn effect(sql: &str) -> Effect;

    /// Whether such a statement may be rerun whatever happened to its connection.
    fn is_safe_to_rerun(_sql: &str) -> bool {
        true
    }

    /// Whether a statement with this text only reads, and may be left at its first row: nothing is decided behind it.
    fn only_reads(_sql: &str) -> bool {
        false
    }

    /// Whether a statement with this text that is refused has done nothing, in a transaction and outside of one.
    fn is_all_or_nothing(sql: &str) -> bool;

    /// Returns what this error leaves on its connection.
    fn effect_of(_error: &sqlx::Error) -> Effect {
        Effect::Nothing
    }

    /// A second set of the values of a statement in autocommit, kept while it runs.
    fn spare(_arguments: &<Self::Database as sqlx::Database>::Arguments) -> Option<Spare<Self>> {
        None
    }

    /// Whether an autocommit statement that was answered with this error, and nothing before it, may be retried: it was provably
    /// not done, or only reads. The first statement on its connection is retried on another one, an
    /// [outdated](SqlxConnection::is_outdated) statement on the same. `times` is how often it was retried already.
    fn may_retry(_sql: &str, _error: &sqlx::Error, _times: u32) -> bool {
        false
    }

    /// Whether a statement was refused before it ran, because it was prepared before its tables were changed.
    fn is_outdated(_error: &sqlx::Error) -> bool {
        false
    }

    /// Whether a statement was refused before it changed anything, because its transaction is read-only.
    fn is_read_only(_error: &sqlx::Error) -> bool {
        false
    }

    /// Forgets every prepared statement.
    ///
    /// # Cancel safety
    /// Not cancel safe: the answer may still arrive.
    fn forget(&mut self) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        async { Ok(()) }
    }
}

type Spare<C> = <<C as SqlxConnection>::Database as sqlx::Database>::Arguments;
