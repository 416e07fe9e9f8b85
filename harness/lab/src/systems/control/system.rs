//! The control as a system of the harness, on a real database.
//!
//! Owns the types by which a system is named; everything that works is in [`Shared`], with its flaw as a value.

use std::marker::PhantomData;

use super::actor::Shared;
use super::connection::{OnDatabase, Source};
use super::tally::TABLE;
use super::{Postgres, Sound, Spec, Sqlite};
use unstale_harness::database::Database;
use unstale_harness::history::{Failure, Report};
use unstale_harness::system::{Capabilities, Capability, Extension, Port, System};

/// The control, or the control with a flaw, over this source.
pub struct Control<S: Source, V = Sound>(pub(crate) Shared<S>, pub(crate) PhantomData<V>);

/// The control on SQLite.
pub type SqliteControl<V = Sound> = Control<Sqlite, V>;

/// The control on PostgreSQL.
pub type PostgresControl<V = Sound> = Control<Postgres, V>;

impl<S: OnDatabase, V: Spec> System for Control<S, V> {
    const NAME: &'static str = Self::SYSTEM;

    fn capabilities() -> Capabilities {
        Self::able()
    }

    fn extension() -> Option<&'static dyn Extension> {
        V::extension()
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        if V::extension().is_some() {
            database.prepare(&TABLE).await?;
        }
        let sessions_max = if database.fixture() { 1 } else { database.connections() };
        let shared = Shared::new(S::of(database, V::FLAW), sessions_max, database.build_recorder(), V::FLAW);
        if database.fixture() {
            shared.begin_test().await?;
        }
        Ok(Self(shared, PhantomData))
    }

    fn actor(&self, port: Port) -> impl Future<Output = ()> {
        self.0.actor(port)
    }

    async fn report(&self) -> Report {
        self.0.report()
    }

    fn stop(&self) -> impl Future<Output = ()> {
        self.0.stop()
    }
}

impl<S: Source, V: Spec> Control<S, V> {
    /// The name of the system.
    pub(crate) const SYSTEM: &'static str = match V::NAME {
        Some(name) => name,
        None => S::NAME,
    };

    /// What it can do.
    pub(crate) fn able() -> Capabilities {
        // What raw SQL begins, the commit of a request would end.
        let with_extension = || S::capabilities().without(Capability::RawSql).with(Capability::Extension);
        let all = || if V::extension().is_some() { with_extension() } else { S::capabilities() };
        V::capabilities().unwrap_or_else(all)
    }
}
