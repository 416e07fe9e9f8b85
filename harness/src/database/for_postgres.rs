//! What systems on PostgreSQL are given.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::of_plan::Database;
use super::postgres::Postgres;

/// What systems on PostgreSQL are given.
impl Database {
    /// How to connect to PostgreSQL: through the harness's proxy, which sees what any client does there, and into the
    /// plan's schema.
    ///
    /// # Panics
    /// On another database: only a system that declares the capability `postgres` is given one.
    pub fn pg_connect_options(&self) -> PgConnectOptions {
        self.as_postgres().connect_options()
    }

    /// Options for a pool of the plan's size; everything else is sqlx's default.
    pub fn pg_pool_options(&self) -> PgPoolOptions {
        PgPoolOptions::new().max_connections(u32::from(self.connections))
    }

    fn as_postgres(&self) -> &Postgres {
        let place: &dyn std::any::Any = &*self.place;
        place.downcast_ref().expect("this plan's database is SQLite: declare the capability `postgres` for another")
    }
}
