//! The path of a statement from sqlx to the session, and of its outcome back.
//!
//! Owns the ways in which sqlx runs something. Each takes a handle; `delegation` supplies it.

use async_stream::try_stream;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::{Database, Describe, Either, Executor, SqlStr};

use super::prepared::{DatabaseOf, Item, Prepared};
use super::retry::Retry;
use crate::call::{InFlight, ReadOnly, enter};
use crate::cell::Handle;
use crate::error::Error;
use crate::session::Call;
use crate::source::{ConnectionError, Effect, ErrorClass, Source, SqlxConnection};

/// Runs a statement for what it changes.
pub(super) async fn execute<S: Source>(
    handle: &Handle<S>,
    prepared: Prepared<DatabaseOf<S>>,
) -> Result<<DatabaseOf<S> as Database>::QueryResult, sqlx::Error>
where
    S::Connection: SqlxConnection,
    for<'x> &'x mut <DatabaseOf<S> as Database>::Connection: Executor<'x, Database = DatabaseOf<S>>,
{
    let mut done = <DatabaseOf<S> as Database>::QueryResult::default();
    let add = |(): &mut (), item: Item<S>| {
        if let Either::Left(part) = item {
            done.extend([part]);
        }
    };
    gather(handle, prepared, "execute", add).await?;
    Ok(done)
}

/// Runs a statement for its rows, one after the other.
pub(super) fn fetch_many<'e, S: Source>(
    handle: &'e Handle<S>,
    prepared: Result<Prepared<DatabaseOf<S>>, sqlx::Error>,
) -> BoxStream<'e, Result<Item<S>, sqlx::Error>>
where
    S::Connection: SqlxConnection,
    for<'x> &'x mut <DatabaseOf<S> as Database>::Connection: Executor<'x, Database = DatabaseOf<S>>,
{
    try_stream! {
        let mut prepared = prepared?;
        let mut call = enter_statement(handle, prepared.text(), "fetch").await.map_err(Error::into_sqlx)?;
        let mut retry = Retry::default();
        loop {
            let spare = retry.spare(&mut call, &prepared);
            let (mut failed, mut nothing_yet) = (None, true);
            {
                let (pausing, patience) = (call.pausing(), call.patience());
                let mut items = call.connection().sqlx().fetch_many(prepared);
                while let Some(item) = patience.answer(items.next()).await.map_err(Error::into_sqlx)? {
                    match item {
                        Ok(item) => {
                            nothing_yet = false;
                            pausing.pause();
                            yield item;
                            pausing.resume();
                        }
                        Err(error) => {
                            failed = Some(error);
                            break;
                        }
                    }
                }
            }
            prepared = match (failed, spare) {
                (Some(error), Some(spare)) if nothing_yet && retry.is_allowed(&mut call, spare.text(), &error) => {
                    retry.go_on(&mut call, error).await?;
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

/// Runs a statement for its first row. One that may write is read to its end: an autocommit can still be refused there.
pub(super) async fn fetch_optional<S: Source>(
    handle: &Handle<S>,
    prepared: Prepared<DatabaseOf<S>>,
) -> Result<Option<<DatabaseOf<S> as Database>::Row>, sqlx::Error>
where
    S::Connection: SqlxConnection,
    for<'x> &'x mut <DatabaseOf<S> as Database>::Connection: Executor<'x, Database = DatabaseOf<S>>,
{
    if S::Connection::only_reads(prepared.text()) {
        let mut call = enter_statement(handle, prepared.text(), "fetch").await.map_err(Error::into_sqlx)?;
        let patience = call.patience();
        let work = call.connection().sqlx().fetch_optional(prepared);
        let result = patience.answer(work).await.map_err(Error::into_sqlx)?;
        return finish(call, result).await;
    }
    let add = |first: &mut Option<_>, item: Item<S>| {
        if let Either::Right(row) = item {
            first.get_or_insert(row);
        }
    };
    gather(handle, prepared, "fetch", add).await
}

/// Runs a statement for all of its rows.
pub(super) async fn fetch_all<S: Source>(
    handle: &Handle<S>,
    prepared: Prepared<DatabaseOf<S>>,
) -> Result<Vec<<DatabaseOf<S> as Database>::Row>, sqlx::Error>
where
    S::Connection: SqlxConnection,
    for<'x> &'x mut <DatabaseOf<S> as Database>::Connection: Executor<'x, Database = DatabaseOf<S>>,
{
    let add = |all: &mut Vec<_>, item: Item<S>| {
        if let Either::Right(row) = item {
            all.push(row);
        }
    };
    gather(handle, prepared, "fetch", add).await
}

/// Prepares a statement.
pub(super) async fn prepare_with<S: Source>(
    handle: &Handle<S>,
    sql: SqlStr,
    parameters: &[<DatabaseOf<S> as Database>::TypeInfo],
) -> Result<<DatabaseOf<S> as Database>::Statement, sqlx::Error>
where
    S::Connection: SqlxConnection,
    for<'x> &'x mut <DatabaseOf<S> as Database>::Connection: Executor<'x, Database = DatabaseOf<S>>,
{
    let mut call = enter_to_prepare(handle, sql.as_str(), "prepare").await.map_err(Error::into_sqlx)?;
    let patience = call.patience();
    let work = call.connection().sqlx().prepare_with(sql, parameters);
    let result = patience.answer(work).await.map_err(Error::into_sqlx)?;
    finish(call, result).await
}

/// Describes the parameters and columns of a statement.
pub(super) async fn describe<S: Source>(handle: &Handle<S>, sql: SqlStr) -> Result<Describe<DatabaseOf<S>>, sqlx::Error>
where
    S::Connection: SqlxConnection,
    for<'x> &'x mut <DatabaseOf<S> as Database>::Connection: Executor<'x, Database = DatabaseOf<S>>,
{
    let mut call = enter_to_prepare(handle, sql.as_str(), "describe").await.map_err(Error::into_sqlx)?;
    let patience = call.patience();
    let work = call.connection().sqlx().describe(sql);
    let result = patience.answer(work).await.map_err(Error::into_sqlx)?;
    finish(call, result).await
}

/// Runs a statement and gathers its items.
async fn gather<S: Source, T: Default>(
    handle: &Handle<S>,
    mut prepared: Prepared<DatabaseOf<S>>,
    operation: &'static str,
    mut add: impl FnMut(&mut T, Item<S>),
) -> Result<T, sqlx::Error>
where
    S::Connection: SqlxConnection,
    for<'x> &'x mut <DatabaseOf<S> as Database>::Connection: Executor<'x, Database = DatabaseOf<S>>,
{
    let mut call = enter_statement(handle, prepared.text(), operation).await.map_err(Error::into_sqlx)?;
    let mut retry = Retry::default();
    loop {
        let spare = retry.spare(&mut call, &prepared);
        let (mut gathered, mut nothing_yet) = (T::default(), true);
        let patience = call.patience();
        let mut items = call.connection().sqlx().fetch_many(prepared);
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
            (Err(error), Some(spare)) if nothing_yet && retry.is_allowed(&mut call, spare.text(), &error) => {
                retry.go_on(&mut call, error).await?;
                spare
            }
            (result, _) => return finish(call, result).await,
        };
    }
}

/// Enters the session for a statement, and refuses one that would bypass the session's state.
async fn enter_statement<'a, S: Source>(
    handle: &'a Handle<S>,
    sql: &str,
    operation: &'static str,
) -> Result<InFlight<'a, S>, Error>
where
    S::Connection: SqlxConnection,
{
    let effect = match S::Connection::effect(sql) {
        Effect::UntilEnd if handle.lender().is_shared() => Effect::MayLeaveResidue,
        Effect::UntilEnd => Effect::Nothing,
        effect => effect,
    };
    if let Effect::Control(keyword) = effect {
        return Err(Error::TransactionControl { keyword });
    }
    if let Effect::Residue(keyword) | Effect::Lock(keyword) | Effect::Permanent(keyword) = effect
        && handle.lender().is_shared()
    {
        return Err(Error::WouldLeaveResidue { keyword });
    }
    let call = enter(handle, Call::Statement, operation).await?;
    if !S::Connection::is_all_or_nothing(sql) {
        // Whatever comes of it, a part may be done.
        handle.cell().count_statement();
    }
    let mut call = if S::Connection::is_safe_to_rerun(sql) { call } else { call.probe().await? };
    call.leave(effect);
    Ok(call)
}

/// Enters the session for a statement that is not run: SQLite sets some pragmas when they are prepared.
async fn enter_to_prepare<'a, S: Source>(
    handle: &'a Handle<S>,
    sql: &str,
    operation: &'static str,
) -> Result<InFlight<'a, S>, Error>
where
    S::Connection: SqlxConnection,
{
    let mut call = enter(handle, Call::Statement, operation).await?.probe().await?;
    if let left @ Effect::Residue(_) = S::Connection::effect(sql) {
        call.leave(left);
    }
    Ok(call)
}

/// Ends the call with the statement's outcome.
async fn finish<S: Source, T>(mut call: InFlight<'_, S>, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error>
where
    S::Connection: SqlxConnection,
{
    match result {
        // The statement was done; a missing row is for the caller to handle.
        Err(error @ sqlx::Error::RowNotFound) => {
            call.finish(Ok(())).await.map_err(Error::into_sqlx)?;
            Err(error)
        }
        result => {
            if let Err(error) = &result {
                call.leave(S::Connection::effect_of(error));
            }
            let result = result.map_err(|error| {
                let mut class = S::Connection::class(&error);
                // It would refuse every write for as long as it lives.
                match S::Connection::is_read_only(&error).then(|| call.why_read_only()) {
                    Some(ReadOnly::Turned) => {
                        call.retire();
                        class = ErrorClass::Disconnected;
                    }
                    Some(ReadOnly::Opened) => call.leave(Effect::Permanent("a read-only server")),
                    Some(ReadOnly::Begun) | None => {}
                }
                ConnectionError::new(class, error)
            });
            call.finish(result).await.map_err(Error::into_sqlx)
        }
    }
}
