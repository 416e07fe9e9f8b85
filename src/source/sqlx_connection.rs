//! A connection of sqlx's, as statements of an application see it.
//!
//! Owns what the library has to know of a database's statements and errors: what they leave behind, and what may be run
//! again. How a connection is lent, and what the library itself asks of it, is in [`super`].

use super::{Class, Connection};

/// A connection of sqlx's: what makes `&Handle` a [`sqlx::Executor`].
pub trait SqlxConnection: Connection {
    /// The database.
    type Database: sqlx::Database;

    /// Whether it can be proved of some errors that the statement was not done, so that [a second
    /// set](SqlxConnection::spare) of its values is worth keeping.
    const REPEATS: bool = false;

    /// The connection itself. The library runs statements on it and lends it to nobody.
    fn sqlx(&mut self) -> &mut <Self::Database as sqlx::Database>::Connection;

    /// How many rows a statement changed.
    fn rows_affected(done: &<Self::Database as sqlx::Database>::QueryResult) -> u64;

    /// What an error of this database means.
    fn class(error: &sqlx::Error) -> Class;

    /// What a statement with this text does beside its work.
    fn effect(sql: &str) -> Effect;

    /// Whether such a statement may be run again whatever has become of its connection.
    fn bears_loss(_sql: &str) -> bool {
        true
    }

    /// What this error leaves on its connection.
    fn effect_of(_error: &sqlx::Error) -> Effect {
        Effect::Nothing
    }

    /// A second set of the values of a statement in autocommit, kept while it runs.
    fn spare(_arguments: &<Self::Database as sqlx::Database>::Arguments) -> Option<Spare<Self>> {
        None
    }

    /// Whether an autocommit statement that was answered with this error and nothing before it may be run again: it was provably
    /// not done, or only reads. The first on its connection runs on another one, an [outdated](SqlxConnection::is_outdated) one
    /// on the same. `times`: so often it has been already.
    fn may_repeat(_sql: &str, _error: &sqlx::Error, _times: u32) -> bool {
        false
    }

    /// Whether a statement was refused before it ran, because it was prepared before its tables were changed.
    fn is_outdated(_error: &sqlx::Error) -> bool {
        false
    }

    /// Forgets every statement that was prepared; the error is what the database answered.
    ///
    /// # Cancel safety
    /// Not cancel safe: an answer may be under way.
    fn forget(&mut self) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        async { Ok(()) }
    }
}

type Spare<C> = <<C as SqlxConnection>::Database as sqlx::Database>::Arguments;

/// What a statement does beside its work, from nothing to the strongest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing.
    #[default]
    Nothing,
    /// It calls something that may leave something on the connection.
    Perhaps,
    /// It leaves something on the connection, named by its first word.
    Residue(&'static str),
    /// It leaves a lock for which others wait.
    Lock(&'static str),
    /// It leaves something that only closing the connection undoes.
    ForGood(&'static str),
    /// It begins or ends a transaction.
    Control(&'static str),
}
