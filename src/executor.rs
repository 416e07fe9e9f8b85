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
use crate::source::{Effect, Failure, Source, SqlxConnection};

type DatabaseOf<S> = <<S as Source>::Connection as SqlxConnection>::Database;
type Item<S> = Either<<DatabaseOf<S> as Database>::QueryResult, <DatabaseOf<S> as Database>::Row>;

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

    /// The same once more, where the connection has a use for that.
    fn spare<C: SqlxConnection<Database = DB>>(&self) -> Option<Self> {
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

impl<S: Source> Handle<S>
where
    S::Connection: SqlxConnection,
{
    /// Enters the session for a statement, unless the statement would go behind its back.
    async fn enter_statement(&self, sql: &str, operation: &'static str) -> Result<Entered<'_, S>, Error> {
        let effect = S::Connection::effect(sql);
        if let Effect::Control(keyword) = effect {
            return Err(Error::TransactionControl { keyword });
        }
        if let Effect::Residue(keyword) | Effect::Lock(keyword) | Effect::ForGood(keyword) = effect
            && self.cell.inner.is_shared()
        {
            return Err(Error::WouldLeaveResidue { keyword });
        }
        let call = self.enter(Call::Statement, operation).await?;
        let mut call = if S::Connection::bears_loss(sql) { call } else { call.probe().await? };
        call.leave(effect);
        Ok(call)
    }

    /// Runs a statement and gathers what comes of it.
    async fn gather<T: Default>(
        &self,
        mut prepared: Prepared<DatabaseOf<S>>,
        operation: &'static str,
        mut add: impl FnMut(&mut T, Item<S>),
    ) -> Result<T, sqlx::Error>
    where
        for<'x> &'x mut <DatabaseOf<S> as Database>::Connection: Executor<'x, Database = DatabaseOf<S>>,
    {
        let mut call = self.enter_statement(prepared.sql.as_str(), operation).await.map_err(Error::into_sqlx)?;
        let mut again = Again::default();
        loop {
            let spare = again.spare(&mut call, &prepared);
            let (mut gathered, mut nothing_yet) = (T::default(), true);
            let patience = call.patience();
            let mut items = call.connection().map_err(Error::into_sqlx)?.sqlx().fetch_many(prepared);
            let result = loop {
                match patience.answer(items.try_next()).await.map_err(Error::into_sqlx)? {
                    Ok(Some(item)) => {
                        nothing_yet = false;
                        add(&mut gathered, item);
                    }
                    Ok(None) => break Ok(gathered),
                    Err(error) => break Err(error),
                }
            };
            drop(items);
            prepared = match (result, spare) {
                (Err(error), Some(spare)) if nothing_yet && again.allowed(&mut call, &spare.sql, &error) => {
                    again.go_on(&mut call, error).await?;
                    spare
                }
                (result, _) => return finish(call, result).await,
            };
        }
    }
}

/// Runs a statement again of which nothing was done: its connection was dead before anything was done on it, or knew the
/// statement as it was before its tables were changed.
#[derive(Default)]
struct Again {
    times: u32,
}

impl Again {
    /// What a second run would take.
    fn spare<S: Source>(
        &self,
        call: &mut Entered<'_, S>,
        prepared: &Prepared<DatabaseOf<S>>,
    ) -> Option<Prepared<DatabaseOf<S>>>
    where
        S::Connection: SqlxConnection,
    {
        let here = S::Connection::REPEATS && self.times == 0 && call.is_autocommit();
        let possible = here || call.is_untouched() && self.times < call.attempts_max();
        if possible { prepared.spare::<S::Connection>() } else { None }
    }

    /// Whether what this error answered may be run again.
    fn allowed<S: Source>(&self, call: &mut Entered<'_, S>, sql: &SqlStr, error: &sqlx::Error) -> bool
    where
        S::Connection: SqlxConnection,
    {
        let sql = sql.as_str();
        let can_go_on = if S::Connection::is_outdated(error) {
            self.times == 0 && call.is_autocommit()
        } else {
            call.is_untouched()
        };
        can_go_on && S::Connection::may_repeat(sql, error, self.times)
    }

    /// The call goes on, with another connection if it is this one that failed.
    async fn go_on<S: Source>(&mut self, call: &mut Entered<'_, S>, error: sqlx::Error) -> Result<(), sqlx::Error>
    where
        S::Connection: SqlxConnection,
    {
        self.times += 1;
        if S::Connection::is_outdated(&error) {
            let patience = call.patience();
            let forget = call.connection().map_err(Error::into_sqlx)?.forget();
            // A connection that broke over this says so again when the statement runs.
            let _ = patience.answer(forget).await.map_err(Error::into_sqlx)?;
            return Ok(());
        }
        let failure = Failure::new(S::Connection::class(&error), error);
        call.replace(&failure).await.map_err(Error::into_sqlx)
    }
}

async fn finish<T, S: Source>(mut call: Entered<'_, S>, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error>
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
            if let Err(error) = &result {
                call.leave(S::Connection::effect_of(error));
            }
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
            let mut done = <DatabaseOf<S> as Database>::QueryResult::default();
            let add = |(): &mut (), item: Item<S>| {
                if let Either::Left(part) = item {
                    done.extend([part]);
                }
            };
            self.gather(prepared?, "execute", add).await?;
            Ok(done)
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
            let mut prepared = prepared?;
            let mut call = self.enter_statement(prepared.sql.as_str(), "fetch").await.map_err(Error::into_sqlx)?;
            let mut again = Again::default();
            loop {
                let spare = again.spare(&mut call, &prepared);
                let (mut failed, mut nothing_yet) = (None, true);
                {
                    let (pausing, patience) = (call.pausing(), call.patience());
                    let mut items = call.connection().map_err(Error::into_sqlx)?.sqlx().fetch_many(prepared);
                    while let Some(item) = patience.answer(items.next()).await.map_err(Error::into_sqlx)? {
                        match item {
                            Ok(item) => {
                                nothing_yet = false;
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
                prepared = match (failed, spare) {
                    (Some(error), Some(spare)) if nothing_yet && again.allowed(&mut call, &spare.sql, &error) => {
                        again.go_on(&mut call, error).await?;
                        spare
                    }
                    (failed, _) => {
                        finish(call, failed.map_or(Ok(()), Err)).await?;
                        break;
                    }
                };
            }
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
            if !S::Connection::REPEATS {
                let mut call = self.enter_statement(prepared.sql.as_str(), "fetch").await.map_err(Error::into_sqlx)?;
                let patience = call.patience();
                let work = call.connection().map_err(Error::into_sqlx)?.sqlx().fetch_optional(prepared);
                let result = patience.answer(work).await.map_err(Error::into_sqlx)?;
                return finish(call, result).await;
            }
            let add = |first: &mut Option<_>, item: Item<S>| {
                if let Either::Right(row) = item {
                    first.get_or_insert(row);
                }
            };
            self.gather(prepared, "fetch", add).await
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
            let add = |all: &mut Vec<_>, item: Item<S>| {
                if let Either::Right(row) = item {
                    all.push(row);
                }
            };
            self.gather(prepared?, "fetch", add).await
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
