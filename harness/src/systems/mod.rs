//! Systems that come with the harness because they need nothing beyond sqlx.

pub mod guarded;
pub mod sqlx_pool;
