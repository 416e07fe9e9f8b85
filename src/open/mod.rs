//! Opening a database: from its options to [`Sessions`](crate::Sessions) that have been checked to work.
//!
//! A file for each database that the library can open. How connections are opened after the first is the source's.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
