//! The columns of a record, with their types, and the comparisons that they offer.
//!
//! Names come from [`Record`] and are quoted; whatever a caller gives is bound. The conditions and orders that are made here are plain
//! values of `select`.

use std::marker::PhantomData;

use sqlx::Database;

use super::bind::Bind;
use super::names::{Qualified, push_list};
use super::record::Record;
use super::select::{Direction, Filter, Order, Select};

/// A column of the record `R`, for values of type `T`.
pub struct Column<R, T> {
    name: &'static str,
    null: fn(&T) -> bool,
    record: PhantomData<fn() -> R>,
}

/// A value that can be compared with a column of type `T`: a `T`; where `T` is an `Option`, also the value in it; for text, a
/// `&str`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be compared with a column of type `{T}`",
    label = "not a value of type `{T}`"
)]
pub trait ValueOf<T> {
    /// The value in the column's type.
    fn into_value(self) -> T;
}

/// The types of columns that hold text.
#[diagnostic::on_unimplemented(message = "a column of type `{Self}` holds no text", label = "not a column of text")]
pub trait Text {}

impl<R: Record, DB: Database> Select<R, DB> {
    /// Only the rows for which this holds too.
    pub fn filter(mut self, which: impl FnOnce(&R::Columns) -> Filter<R, DB>) -> Self {
        self.push_filter(which(&R::COLUMNS));
        self
    }

    /// Sorted by this column, after the columns before. Rows that are equal so far are sorted by the key, so every order is total.
    pub fn sort(mut self, by: impl FnOnce(&R::Columns) -> Order<R>) -> Self {
        self.then_by(by(&R::COLUMNS));
        self
    }
}

/// NULL compares as `None` does in Rust: equal to itself, and different from everything else. In the comparisons by order it
/// is neither less nor more than anything.
impl<R: Record, T: Send + Sync + 'static> Column<R, T> {
    #[doc(hidden)]
    pub const fn new(name: &'static str, null: fn(&T) -> bool) -> Self {
        Self { name, null, record: PhantomData }
    }

    /// Equal to this.
    pub fn eq<DB: Database>(self, value: impl ValueOf<T>) -> Filter<R, DB>
    where
        T: Bind<DB>,
    {
        let value = value.into_value();
        if (self.null)(&value) { self.test(" is null") } else { self.compare(" = ", value) }
    }

    /// Different from this.
    pub fn not_eq<DB: Database>(self, value: impl ValueOf<T>) -> Filter<R, DB>
    where
        T: Bind<DB>,
    {
        let value = value.into_value();
        if (self.null)(&value) {
            return self.test(" is not null");
        }
        // Spelled so by SQLite since 3.39 and by PostgreSQL. With `<>`, rows with NULL would be left out.
        self.compare(" is distinct from ", value)
    }

    /// Less than this.
    pub fn less<DB: Database>(self, value: impl ValueOf<T>) -> Filter<R, DB>
    where
        T: Bind<DB>,
    {
        self.compare(" < ", value.into_value())
    }

    /// Less than this, or equal.
    pub fn at_most<DB: Database>(self, value: impl ValueOf<T>) -> Filter<R, DB>
    where
        T: Bind<DB>,
    {
        self.compare(" <= ", value.into_value())
    }

    /// More than this.
    pub fn more<DB: Database>(self, value: impl ValueOf<T>) -> Filter<R, DB>
    where
        T: Bind<DB>,
    {
        self.compare(" > ", value.into_value())
    }

    /// More than this, or equal.
    pub fn at_least<DB: Database>(self, value: impl ValueOf<T>) -> Filter<R, DB>
    where
        T: Bind<DB>,
    {
        self.compare(" >= ", value.into_value())
    }

    /// Equal to one of these; no row is, if there are none. How many there may be is the database's limit of values in one
    /// statement: 32766 with SQLite.
    pub fn one_of<DB: Database>(self, values: impl IntoIterator<Item = impl ValueOf<T>>) -> Filter<R, DB>
    where
        T: Bind<DB>,
    {
        let values = values.into_iter().map(ValueOf::into_value);
        let (nulls, values): (Vec<T>, Vec<T>) = values.partition(self.null);
        let listed = match values.is_empty() {
            // An empty list would be a mistake in the syntax of most databases.
            true => Filter::new(|query| {
                query.push("1 = 0");
            }),
            false => Filter::new(move |query| {
                query.push(self.qualified()).push(" in (");
                push_list(query, &values, |query, value| value.bind(query));
                query.push(")");
            }),
        };
        if nulls.is_empty() { listed } else { listed.or(self.test(" is null")) }
    }

    /// From the smallest to the largest. The place of NULL is the database's choice; first in SQLite.
    pub fn ascending(self) -> Order<R> {
        Order::new(self.qualified(), Direction::Ascending)
    }

    /// From the largest to the smallest.
    pub fn descending(self) -> Order<R> {
        Order::new(self.qualified(), Direction::Descending)
    }

    fn compare<DB: Database>(self, operator: &'static str, value: T) -> Filter<R, DB>
    where
        T: Bind<DB>,
    {
        Filter::new(move |query| {
            query.push(self.qualified()).push(operator);
            value.bind(query);
        })
    }

    fn test<DB: Database>(self, test: &'static str) -> Filter<R, DB> {
        Filter::new(move |query| {
            query.push(self.qualified()).push(test);
        })
    }

    fn qualified(self) -> Qualified {
        Qualified { table: R::TABLE, column: self.name }
    }
}

impl<R: Record, T: Send + Sync + 'static> Column<R, Option<T>> {
    /// NULL.
    pub fn is_null<DB: Database>(self) -> Filter<R, DB> {
        self.test(" is null")
    }

    /// Not NULL.
    pub fn is_not_null<DB: Database>(self) -> Filter<R, DB> {
        self.test(" is not null")
    }
}

impl<R: Record, T: Send + Sync + 'static> Column<R, T> {
    /// Matches this pattern: `%` matches any text, `_` any character, and `\` before one of the three matches that character.
    /// Whether case matters is the database's choice; that of ASCII letters does not in SQLite.
    pub fn like<DB: Database>(self, pattern: impl Into<String>) -> Filter<R, DB>
    where
        T: Text,
        String: Bind<DB>,
    {
        let pattern: String = pattern.into();
        Filter::new(move |query| {
            query.push(self.qualified()).push(" like ");
            pattern.bind(query);
            query.push(r" escape '\'");
        })
    }

    /// Contains this text, whatever characters it is made of.
    pub fn contains<DB: Database>(self, text: &str) -> Filter<R, DB>
    where
        T: Text,
        String: Bind<DB>,
    {
        let literal = text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
        self.like(format!("%{literal}%"))
    }
}

impl<T> ValueOf<T> for T {
    fn into_value(self) -> T {
        self
    }
}

impl<T> ValueOf<Option<T>> for T {
    fn into_value(self) -> Option<T> {
        Some(self)
    }
}

impl ValueOf<String> for &str {
    fn into_value(self) -> String {
        self.to_owned()
    }
}

impl ValueOf<Option<String>> for &str {
    fn into_value(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl Text for String {}

impl Text for Option<String> {}

/// Whether values of a type may be NULL, decided by which `is_null` the compiler finds: that of `Option` takes precedence over
/// the trait's, which every type has.
#[doc(hidden)]
pub struct Nullness<T>(PhantomData<T>);

impl<T> Nullness<Option<T>> {
    #[doc(hidden)]
    pub fn is_null(value: &Option<T>) -> bool {
        value.is_none()
    }
}

#[doc(hidden)]
pub trait NeverNull<T> {
    /// It is not.
    fn is_null(_: &T) -> bool {
        false
    }
}

impl<T> NeverNull<T> for Nullness<T> {}

impl<R, T> Clone for Column<R, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, T> Copy for Column<R, T> {}
