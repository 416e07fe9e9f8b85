//! Systems that come with the harness.

pub mod guarded;
pub mod sqlx_pool;
pub mod unstale;
