//! Systems that come with the harness.

mod at_once;
pub mod control;
pub mod sqlx_pool;
pub mod unstale;
