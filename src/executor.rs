//! `&Handle` and `&Scope` as sqlx executors: `query!`, `query_as`, streams and friends run on them.
//!
//! Owns the way of a statement from sqlx to the session and of its outcome back. The connection is never in the caller's
//! hands: two of them could be swapped.

use async_stream::try_stream;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::{Database, Describe, Either, Execute, Executor, SqlStr};

use crate::call::Entered;
use crate::error::Error;
use crate::scope::{Handle, Scope};
use crate::session::Call;
use crate::source::{Failure, Source, SqlxConnection};
use crate::statement::{Effect, effect};

type DatabaseOf<S> = <<S as Source>::Connection as SqlxConnection>::Database;

/// A statement taken apart, so that its text can be looked at before it runs.
struct Prepared<DB: Database> {
    sql: SqlStr,
    statement: Option<DB::Statement>,
    arguments: Option<DB::Arguments>,
    persistent: bool,
}

impl<DB: Database> Prepared<DB> {
    fn of<'q>(mut query: impl Execute<'q, DB>) -> Result<Self, sqlx::Error> {
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        let statement = query.statement().cloned();
        let persistent = query.persistent();
        Ok(Self { sql: query.sql(), statement, arguments, persistent })
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

impl<S: Source> Handle<S>
where
    S::Connection: SqlxConnection,
{
    /// Enters the session for a statement, unless the statement would go behind its back.
    async fn enter_statement(&self, sql: &str, operation: &'static str) -> Result<Entered<'_, S>, Error> {
        let effect = effect(sql);
        if let Effect::Control(keyword) = effect {
            return Err(Error::TransactionControl { keyword });
        }
        if let Effect::Residue(keyword) = effect
            && self.cell.inner.is_shared()
        {
            return Err(Error::WouldLeaveResidue { keyword });
        }
        let mut call = self.enter(Call::Statement, operation).await?;
        if effect != Effect::Plain {
            call.taint();
        }
        Ok(call)
    }
}

async fn finish<T, S: Source>(call: Entered<'_, S>, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error>
where
    S::Connection: SqlxConnection,
{
    match result {
        // The statement was done; that it found no row is the caller's business.
        Err(error @ sqlx::Error::RowNotFound) => {
            call.finish(Ok(())).await.map_err(Error::into_sqlx)?;
            Err(error)
        }
        result => {
            let result = result.map_err(|error| Failure::new(S::Connection::class(&error), error));
            call.finish(result).await.map_err(Error::into_sqlx)
        }
    }
}

impl<'c, S: Source> Executor<'c> for &'c Handle<S>
where
    S::Connection: SqlxConnection,
    for<'x> &'x mut <DatabaseOf<S> as Database>::Connection: Executor<'x, Database = DatabaseOf<S>>,
{
    type Database = DatabaseOf<S>;

    fn execute<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<<Self::Database as Database>::QueryResult, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        let prepared = Prepared::of(query);
        Box::pin(async move {
            let prepared = prepared?;
            let mut call = self.enter_statement(prepared.sql.as_str(), "execute").await.map_err(Error::into_sqlx)?;
            let patience = call.patience();
            let work = call.connection().map_err(Error::into_sqlx)?.sqlx().execute(prepared);
            let result = patience.answer(work).await.map_err(Error::into_sqlx)?;
            finish(call, result).await
        })
    }

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<
        'e,
        Result<Either<<Self::Database as Database>::QueryResult, <Self::Database as Database>::Row>, sqlx::Error>,
    >
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        let prepared = Prepared::of(query);
        try_stream! {
            let prepared = prepared?;
            let mut call = self.enter_statement(prepared.sql.as_str(), "fetch").await.map_err(Error::into_sqlx)?;
            let mut failed = None;
            {
                let (pausing, patience) = (call.pausing(), call.patience());
                let mut rows = call.connection().map_err(Error::into_sqlx)?.sqlx().fetch_many(prepared);
                while let Some(item) = patience.answer(rows.next()).await.map_err(Error::into_sqlx)? {
                    match item {
                        Ok(item) => {
                            pausing.set(true);
                            yield item;
                            pausing.set(false);
                        }
                        Err(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                }
            }
            finish(call, failed.map_or(Ok(()), Err)).await?;
        }
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<<Self::Database as Database>::Row>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        let prepared = Prepared::of(query);
        Box::pin(async move {
            let prepared = prepared?;
            let mut call = self.enter_statement(prepared.sql.as_str(), "fetch").await.map_err(Error::into_sqlx)?;
            let patience = call.patience();
            let work = call.connection().map_err(Error::into_sqlx)?.sqlx().fetch_optional(prepared);
            let result = patience.answer(work).await.map_err(Error::into_sqlx)?;
            finish(call, result).await
        })
    }

    fn fetch_all<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Vec<<Self::Database as Database>::Row>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        let prepared = Prepared::of(query);
        Box::pin(async move {
            let prepared = prepared?;
            let mut call = self.enter_statement(prepared.sql.as_str(), "fetch").await.map_err(Error::into_sqlx)?;
            let patience = call.patience();
            let mut rows = call.connection().map_err(Error::into_sqlx)?.sqlx().fetch(prepared);
            let mut all = Vec::new();
            let result = loop {
                match patience.answer(rows.try_next()).await.map_err(Error::into_sqlx)? {
                    Ok(Some(row)) => all.push(row),
                    Ok(None) => break Ok(all),
                    Err(error) => break Err(error),
                }
            };
            drop(rows);
            finish(call, result).await
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [<Self::Database as Database>::TypeInfo],
    ) -> BoxFuture<'e, Result<<Self::Database as Database>::Statement, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let mut call = self.enter(Call::Statement, "prepare").await.map_err(Error::into_sqlx)?;
            let patience = call.patience();
            let work = call.connection().map_err(Error::into_sqlx)?.sqlx().prepare_with(sql, parameters);
            let result = patience.answer(work).await.map_err(Error::into_sqlx)?;
            finish(call, result).await
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Self::Database>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let mut call = self.enter(Call::Statement, "describe").await.map_err(Error::into_sqlx)?;
            let patience = call.patience();
            let work = call.connection().map_err(Error::into_sqlx)?.sqlx().describe(sql);
            let result = patience.answer(work).await.map_err(Error::into_sqlx)?;
            finish(call, result).await
        })
    }
}

impl<'c, S: Source> Executor<'c> for &'c Scope<S>
where
    S::Connection: SqlxConnection,
    for<'x> &'x mut <DatabaseOf<S> as Database>::Connection: Executor<'x, Database = DatabaseOf<S>>,
{
    type Database = DatabaseOf<S>;

    fn execute<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<<Self::Database as Database>::QueryResult, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        self.as_handle().execute(query)
    }

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<
        'e,
        Result<Either<<Self::Database as Database>::QueryResult, <Self::Database as Database>::Row>, sqlx::Error>,
    >
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        self.as_handle().fetch_many(query)
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<<Self::Database as Database>::Row>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Self::Database>,
    {
        self.as_handle().fetch_optional(query)
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [<Self::Database as Database>::TypeInfo],
    ) -> BoxFuture<'e, Result<<Self::Database as Database>::Statement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.as_handle().prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Self::Database>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.as_handle().describe(sql)
    }
}
