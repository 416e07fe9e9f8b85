//! The database of one plan, of any kind.
//!
//! Owns what is the same for every database: access for systems, faults, the hold, and the final state, which is read
//! on a connection of the harness's own. It knows nothing of systems, and only the storage of a plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::place::{Held, Place, SetupError};
#[cfg(feature = "postgres")]
use super::postgres;
#[cfg(feature = "sqlite")]
use super::sqlite;
use crate::history::{BuildRecorder, Log};
use crate::plan::{ActorId, Fault, Key, Plan, Storage, Value};
use crate::port::Wire;
use crate::recorder::Recorder;

/// The database that one plan runs on.
pub struct Database {
    pub(super) place: Box<dyn Place>,
    pub(super) connections: u8,
    storage: Storage,
    fixture: bool,
    log: Log,
}

impl Database {
    /// Makes a fresh database with the core workload's table.
    ///
    /// # Errors
    /// [`SetupError`] if it cannot be made where the plan wants it.
    ///
    /// # Cancel safety
    /// Cancel safe: a half-made database is removed when the future is dropped.
    pub(crate) async fn create(plan: &Plan, recorder: Recorder) -> Result<Self, SetupError> {
        let Plan { storage, connections, fixture, .. } = *plan;
        let log = recorder.log.clone();
        let place: Box<dyn Place> = match storage {
            #[cfg(feature = "sqlite")]
            Storage::Wal | Storage::Journal | Storage::Memory => {
                Box::new(sqlite::Sqlite::create(storage, recorder).await?)
            }
            #[cfg(feature = "postgres")]
            Storage::Postgres => Box::new(postgres::Postgres::create(plan, recorder.log, recorder.heartbeat).await?),
            Storage::Sim | Storage::SimOrdered | Storage::SimOnly => {
                return Err(SetupError::of("a simulated storage has no real database"));
            }
            #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
            storage => {
                return Err(SetupError::of(format!(
                    "unstale-harness was built without the feature `{}`",
                    storage.backend()
                )));
            }
        };
        Ok(Self { place, storage, connections, fixture, log })
    }

    /// How many connections the system may have open at once.
    pub fn connections(&self) -> u8 {
        self.connections
    }

    /// Where it lives.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Whether the system is to run inside a test fixture of its own, which it ends when it is stopped.
    pub fn fixture(&self) -> bool {
        self.fixture
    }

    /// Numbers the services that the system's factories build.
    pub fn build_recorder(&self) -> BuildRecorder {
        BuildRecorder::new(self.log.clone())
    }

    /// Runs these statements before the plan, on the harness's own connection: for a system that has tables of its own. A
    /// table or view `kv` must be there afterwards, since the final state is read from it.
    ///
    /// # Errors
    /// The error of sqlx.
    ///
    /// # Cancel safety
    /// What was done stays done.
    pub async fn prepare(&self, statements: &[&'static str]) -> Result<(), sqlx::Error> {
        self.place.prepare(statements).await
    }

    /// All rows, read on the harness's own connection.
    ///
    /// # Errors
    /// [`SetupError`]: the harness's own read failed, so nothing can be said of the final state.
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn final_state(&self) -> Result<BTreeMap<Key, Value>, SetupError> {
        self.place.final_state().await
    }

    /// Holds back every answer of the database until the guard is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.place.hold()
    }

    /// Returns the wire of this actor, where its requests are visible.
    pub(crate) fn wire(&self, actor: ActorId) -> Option<Arc<Wire>> {
        self.place.wire(actor)
    }

    /// Starts a fault for the command that is about to run.
    ///
    /// # Cancel safety
    /// Not cancel safe: the fault may be left behind; the whole plan is given up then.
    pub(crate) async fn start_fault(&self, fault: Fault) {
        self.place.start_fault(fault).await;
    }

    /// Whether a fault holds something back until it is ended.
    pub(crate) fn is_holding(&self) -> bool {
        self.place.is_holding()
    }

    /// Whether the harness keeps alive a database that would end with its last connection.
    pub(crate) fn is_kept_alive(&self) -> bool {
        self.place.is_kept_alive()
    }

    /// Leaves that to the system.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn let_go(&self) {
        self.place.let_go().await;
    }

    /// Keeps it alive from now on.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn keep_alive(&self) {
        self.place.keep_alive().await;
    }

    /// Ends it, and heals what it broke.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Database::start_fault`].
    pub(crate) async fn end_fault(&self, fault: Fault) {
        self.place.end_fault(fault).await;
    }

    /// Removes what outlives this value on a server.
    ///
    /// # Cancel safety
    /// Not cancel safe: what was not removed stays until the server goes.
    pub(crate) async fn remove(self) {
        self.place.remove().await;
    }
}
