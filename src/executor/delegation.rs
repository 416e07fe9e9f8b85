//! The two implementations of [`sqlx::Executor`], which are one.
//!
//! Owns the delegation alone: a scope's statements take the same path as its handles'. A macro does it, since a foreign
//! trait cannot be implemented for every type that has a handle.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sqlx::{Database, Describe, Either, Execute, Executor, SqlStr};

use super::prepared::{DatabaseOf, Prepared};
use super::run;
use crate::cell::Handle;
use crate::scope::Scope;
use crate::source::{Source, SqlxConnection};

macro_rules! executor_of {
    ($type:ident, |$this:ident| $handle:expr) => {
        impl<'c, S: Source> Executor<'c> for &'c $type<S>
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
                let ($this, prepared) = (self, Prepared::of::<S::Connection>(query));
                Box::pin(async move { run::execute($handle, prepared?).await })
            }

            fn fetch_many<'e, 'q: 'e, E>(
                self,
                query: E,
            ) -> BoxStream<
                'e,
                Result<
                    Either<<Self::Database as Database>::QueryResult, <Self::Database as Database>::Row>,
                    sqlx::Error,
                >,
            >
            where
                'c: 'e,
                E: 'q + Execute<'q, Self::Database>,
            {
                let $this = self;
                run::fetch_many($handle, Prepared::of::<S::Connection>(query))
            }

            fn fetch_optional<'e, 'q: 'e, E>(
                self,
                query: E,
            ) -> BoxFuture<'e, Result<Option<<Self::Database as Database>::Row>, sqlx::Error>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Self::Database>,
            {
                let ($this, prepared) = (self, Prepared::of::<S::Connection>(query));
                Box::pin(async move { run::fetch_optional($handle, prepared?).await })
            }

            fn fetch_all<'e, 'q: 'e, E>(
                self,
                query: E,
            ) -> BoxFuture<'e, Result<Vec<<Self::Database as Database>::Row>, sqlx::Error>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Self::Database>,
            {
                let ($this, prepared) = (self, Prepared::of::<S::Connection>(query));
                Box::pin(async move { run::fetch_all($handle, prepared?).await })
            }

            fn prepare_with<'e>(
                self,
                sql: SqlStr,
                parameters: &'e [<Self::Database as Database>::TypeInfo],
            ) -> BoxFuture<'e, Result<<Self::Database as Database>::Statement, sqlx::Error>>
            where
                'c: 'e,
            {
                let $this = self;
                Box::pin(run::prepare_with($handle, sql, parameters))
            }

            fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Self::Database>, sqlx::Error>>
            where
                'c: 'e,
            {
                let $this = self;
                Box::pin(run::describe($handle, sql))
            }
        }
    };
}

executor_of!(Handle, |handle| handle);
executor_of!(Scope, |scope| scope.as_handle());
