//! Ready-made operations for a table: insert, find, update, delete, count, and lists with filters, order and pages.
//!
//! A [`Table`] goes through a [`Repository`](crate::Repository), so each operation has a name, is retried where nothing was done, and
//! says what a caller can do about an error. Anything else is written with `query!` on the same repository: joins, aggregates, keys
//! that the database generates, changes of many rows at once.

mod bind;
mod column;
mod declare;
mod names;
mod operations;
mod record;
mod select;
mod statements;

pub use bind::Bind;
pub use column::{Column, NeverNull, Nullness, Text, ValueOf};
pub use declare::column_name;
pub use operations::{Page, Table};
pub use record::{Record, Stored};
pub use select::{Filter, Order, Select};
