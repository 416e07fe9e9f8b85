//! Systems that come with the harness.

pub mod control;
pub mod sqlx_pool;
pub mod unstale;
