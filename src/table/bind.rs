//! Values of a statement: whatever sqlx can encode.

use sqlx::{Database, Encode, QueryBuilder, Type};

/// A value of a statement: whatever sqlx can encode.
pub trait Bind<DB: Database> {
    /// Pushes a placeholder, and binds this to it.
    ///
    /// # Panics
    /// If it cannot be encoded, as [`QueryBuilder::push_bind`].
    fn bind(&self, query: &mut QueryBuilder<DB>);
}

impl<DB: Database, T> Bind<DB> for T
where
    T: for<'q> Encode<'q, DB> + Type<DB>,
{
    fn bind(&self, query: &mut QueryBuilder<DB>) {
        query.push_bind(self);
    }
}
