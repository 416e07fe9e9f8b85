//! What is asked of a table: which rows, in which order. Plain values, that run nowhere by themselves.
//!
//! Owns the typed columns, the comparisons they offer, and their SQL. Names come from [`Record`] and are quoted; whatever a
//! caller gives is bound.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use sqlx::{Database, QueryBuilder};

use super::record::{Bind, Record};
use super::statements::{self, Qualified, push_list};

/// A column of the record `R`, for values of type `T`.
pub struct Column<R, T> {
    name: &'static str,
    null: fn(&T) -> bool,
    record: PhantomData<fn() -> R>,
}

/// What can be compared with a column of type `T`: a `T`; where `T` is an `Option`, also what is in it; for text, a `&str`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be compared with a column of type `{T}`",
    label = "not a value of type `{T}`"
)]
pub trait ValueOf<T> {
    /// As the column has it.
    fn into_value(self) -> T;
}

/// The types of columns that hold text.
#[diagnostic::on_unimplemented(message = "a column of type `{Self}` holds no text", label = "not a column of text")]
pub trait Text {}

/// A condition on the rows of the record `R`.
pub struct Filter<R, DB: Database> {
    push: Push<DB>,
    record: PhantomData<fn() -> R>,
}

/// Writes a condition, as often as its statement is tried.
type Push<DB> = Arc<dyn Fn(&mut QueryBuilder<DB>) + Send + Sync>;

/// A column to sort by, and the direction.
pub struct Order<R> {
    column: &'static str,
    direction: &'static str,
    record: PhantomData<fn() -> R>,
}

/// Which rows, in which order. Begins as [`Record::all`].
#[must_use = "it is only a description until a table is asked for it"]
pub struct Select<R, DB: Database> {
    filters: Vec<Filter<R, DB>>,
    order: Vec<Order<R>>,
}

impl<R: Record, DB: Database> Select<R, DB> {
    pub(super) fn new() -> Self {
        Self { filters: Vec::new(), order: Vec::new() }
    }

    /// Only the rows of which this holds too.
    pub fn filter(mut self, which: impl FnOnce(&R::Columns) -> Filter<R, DB>) -> Self {
        self.filters.push(which(&R::COLUMNS));
        self
    }

    /// Sorted by this column, after the ones before. Rows that are equal so far are sorted by the key, so that any order is a
    /// total one.
    pub fn sort(mut self, by: impl FnOnce(&R::Columns) -> Order<R>) -> Self {
        self.order.push(by(&R::COLUMNS));
        self
    }

    /// Pushes the condition.
    pub(super) fn push_where(&self, query: &mut QueryBuilder<DB>) {
        for (at, filter) in self.filters.iter().enumerate() {
            query.push(if at == 0 { " where " } else { " and " });
            (filter.push)(query);
        }
    }

    /// Pushes the order, which ends with the key.
    pub(super) fn push_order(&self, query: &mut QueryBuilder<DB>) {
        query.push(" order by ");
        let key = Order { column: R::NAMES[0], direction: "", record: PhantomData };
        push_list(query, self.order.iter().chain([&key]), |query, Order { column, direction, .. }| {
            query.push(Qualified::of::<R>(column)).push(direction);
        });
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

    /// From the smallest to the largest. Where NULL comes is the database's choice; first with SQLite.
    pub fn ascending(self) -> Order<R> {
        Order { column: self.name, direction: "", record: PhantomData }
    }

    /// From the largest to the smallest.
    pub fn descending(self) -> Order<R> {
        Order { column: self.name, direction: " desc", record: PhantomData }
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
        Qualified::of::<R>(self.name)
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
    /// Matches this pattern: `%` stands for any text, `_` for any character, and `\` before one of the three for itself.
    /// Whether capital letters matter is the database's choice; those of ASCII do not with SQLite.
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

impl<R: Record, DB: Database> Filter<R, DB> {
    fn new(push: impl Fn(&mut QueryBuilder<DB>) + Send + Sync + 'static) -> Self {
        Self { push: Arc::new(push), record: PhantomData }
    }

    /// Both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.joined(" and ", other)
    }

    /// One of them holds, or both.
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

/// Whether values of a type may be NULL, decided by which `is_null` the compiler finds: that of `Option` itself goes before
/// the one of the trait, which every type has.
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

/// Its SQL; what is bound to it is not shown.
impl<R, DB: Database> fmt::Debug for Filter<R, DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = QueryBuilder::new("");
        (self.push)(&mut query);
        f.write_str(&query.into_string())
    }
}

/// Its SQL; what is bound to it is not shown.
impl<R: Record, DB: Database> fmt::Debug for Select<R, DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&statements::list(self).into_string())
    }
}

impl<R, DB: Database> Clone for Select<R, DB> {
    fn clone(&self) -> Self {
        Self { filters: self.filters.clone(), order: self.order.clone() }
    }
}
