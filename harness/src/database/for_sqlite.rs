//! What systems on SQLite are given.

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
#[cfg(feature = "unstale")]
use unstale::SqliteOptions;

use super::of_plan::Database;
use super::sqlite::{Connector, Sqlite};

/// What systems on SQLite are given.
impl Database {
    /// How to connect to SQLite: the plan's file or `:memory:`, without a busy time-out, since a gated run would sit in it.
    ///
    /// # Panics
    /// On another database, as everything here that names SQLite: a system that declares the capability `postgres` is given
    /// that.
    pub fn connect_options(&self) -> SqliteConnectOptions {
        self.as_sqlite().connect_options()
    }

    /// Options for `unstale` on SQLite, whose connections are observed from the moment they open.
    ///
    /// # Panics
    /// As [`Database::connect_options`].
    #[cfg(feature = "unstale")]
    pub fn sqlite_options(&self) -> SqliteOptions {
        self.as_sqlite().options()
    }

    /// Options for a pool, of the plan's size, whose connections are observed from the moment they open.
    ///
    /// A system that needs an `after_connect` of its own calls [`Connector::observe`] in it.
    ///
    /// # Panics
    /// As [`Database::connect_options`].
    pub fn pool_options(&self) -> SqlitePoolOptions {
        self.as_sqlite().pool_options(self.connections)
    }

    /// Opens observed connections to SQLite, for systems that do their own pooling.
    ///
    /// # Panics
    /// As [`Database::connect_options`].
    pub fn connector(&self) -> Connector {
        self.as_sqlite().connector.clone()
    }

    fn as_sqlite(&self) -> &Sqlite {
        let place: &dyn std::any::Any = &*self.place;
        place.downcast_ref().expect("this plan's database is PostgreSQL: use `pg_connect_options`")
    }
}
