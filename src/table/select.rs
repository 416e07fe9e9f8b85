//! Selections: which rows, in which order. Plain values that a table runs.
//!
//! Owns conditions, orders and how they are written behind `where` and `order by`. The typed columns from which they are made are in
//! `column`, the statements around them in `statements`.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use sqlx::{Database, QueryBuilder};

use super::names::{Qualified, push_list};

/// Which rows, in which order. Begins as [`Record::all`](super::Record::all).
#[must_use = "a selection does nothing until a table runs it"]
pub struct Select<R, DB: Database> {
    filters: Vec<Filter<R, DB>>,
    order: Vec<Order<R>>,
}

/// A condition on the rows of the record `R`.
pub struct Filter<R, DB: Database> {
    push: Push<DB>,
    record: PhantomData<fn() -> R>,
}

/// Writes a condition, each time its statement is tried.
type Push<DB> = Arc<dyn Fn(&mut QueryBuilder<DB>) + Send + Sync>;

/// A column to sort by, and the direction.
pub struct Order<R> {
    column: Qualified,
    direction: Direction,
    record: PhantomData<fn() -> R>,
}

/// In which direction rows are sorted.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

impl<R, DB: Database> Select<R, DB> {
    pub(super) fn new() -> Self {
        Self { filters: Vec::new(), order: Vec::new() }
    }

    /// Adds a condition that has to hold too.
    pub(super) fn push_filter(&mut self, filter: Filter<R, DB>) {
        self.filters.push(filter);
    }

    /// Adds a column to sort by, after those that are there.
    pub(super) fn then_by(&mut self, order: Order<R>) {
        self.order.push(order);
    }

    /// Pushes the condition.
    pub(super) fn push_where(&self, query: &mut QueryBuilder<DB>) {
        for (at, filter) in self.filters.iter().enumerate() {
            query.push(if at == 0 { " where " } else { " and " });
            (filter.push)(query);
        }
    }

    /// Pushes the order, which ends with the key.
    pub(super) fn push_order(&self, key: Qualified, query: &mut QueryBuilder<DB>) {
        query.push(" order by ");
        let key = Order::new(key, Direction::Ascending);
        push_list(query, self.order.iter().chain([&key]), |query, Order { column, direction, .. }| {
            query.push(column).push(direction.sql());
        });
    }
}

impl<R, DB: Database> Filter<R, DB> {
    pub(super) fn new(push: impl Fn(&mut QueryBuilder<DB>) + Send + Sync + 'static) -> Self {
        Self { push: Arc::new(push), record: PhantomData }
    }

    /// Holds where both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.joined(" and ", other)
    }

    /// Holds where one of them holds, or both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.joined(" or ", other)
    }

    fn joined(self, with: &'static str, other: Self) -> Self {
        Self::new(move |query| {
            query.push("(");
            (self.push)(query);
            query.push(with);
            (other.push)(query);
            query.push(")");
        })
    }
}

impl<R> Order<R> {
    pub(super) fn new(column: Qualified, direction: Direction) -> Self {
        Self { column, direction, record: PhantomData }
    }
}

impl Direction {
    fn sql(self) -> &'static str {
        match self {
            Self::Ascending => "",
            Self::Descending => " desc",
        }
    }
}

impl<R, DB: Database> Clone for Filter<R, DB> {
    fn clone(&self) -> Self {
        Self { push: Arc::clone(&self.push), record: PhantomData }
    }
}

impl<R> Clone for Order<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Order<R> {}

/// Its SQL, without the bound values.
impl<R, DB: Database> fmt::Debug for Filter<R, DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = QueryBuilder::new("");
        (self.push)(&mut query);
        f.write_str(&query.into_string())
    }
}

impl<R, DB: Database> Clone for Select<R, DB> {
    fn clone(&self) -> Self {
        Self { filters: self.filters.clone(), order: self.order.clone() }
    }
}
