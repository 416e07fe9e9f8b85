//! Systems that come with the harness.

pub mod guarded;
pub mod guarded_pg;
pub mod sqlx_pool;
pub mod unstale;
