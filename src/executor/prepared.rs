//! A statement taken apart, so that its text can be looked at before it runs.
//!
//! Owns the parts, and a second set of them for a retry. The meaning of the text is each database's own.

use sqlx::{Arguments, Database, Either, Execute, SqlStr};

use crate::source::{Source, SqlxConnection};

/// The database of a source.
pub(crate) type DatabaseOf<S> = <<S as Source>::Connection as SqlxConnection>::Database;

/// An item of a statement's stream.
pub(super) type Item<S> = Either<<DatabaseOf<S> as Database>::QueryResult, <DatabaseOf<S> as Database>::Row>;

/// A statement with its values.
pub(super) struct Prepared<DB: Database> {
    sql: SqlStr,
    statement: Option<DB::Statement>,
    arguments: Option<DB::Arguments>,
    persistent: bool,
}

impl<DB: Database> Prepared<DB> {
    /// Takes a statement apart. What can be refused before anything is sent is refused here, so that it costs nothing.
    pub(super) fn of<'q, C: SqlxConnection<Database = DB>>(
        mut query: impl Execute<'q, DB>,
    ) -> Result<Self, sqlx::Error> {
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        let (count, max) = (arguments.as_ref().map_or(0, Arguments::len), C::VALUES_MAX);
        if count > max {
            let why =
                format!("{count} values are bound, and a statement can have {max}: send fewer rows at once, or arrays");
            return Err(sqlx::Error::Encode(why.into()));
        }
        let statement = query.statement().cloned();
        let persistent = query.persistent();
        Ok(Self { sql: query.sql(), statement, arguments, persistent })
    }

    pub(super) fn text(&self) -> &str {
        self.sql.as_str()
    }

    /// Returns a second set of the parts, where the connection can use one for a retry.
    pub(super) fn spare<C: SqlxConnection<Database = DB>>(&self) -> Option<Self> {
        let arguments = match &self.arguments {
            Some(arguments) => Some(C::spare(arguments)?),
            None => None,
        };
        Some(Self { sql: self.sql.clone(), statement: self.statement.clone(), arguments, persistent: self.persistent })
    }
}

impl<DB: Database> Execute<'_, DB> for Prepared<DB> {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&DB::Statement> {
        self.statement.as_ref()
    }

    fn take_arguments(&mut self) -> Result<Option<DB::Arguments>, sqlx::error::BoxDynError> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}
