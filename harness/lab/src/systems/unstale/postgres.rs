//! `unstale-pg` and `unstale-pg-resolving`: the library under test, on PostgreSQL, without and with a resolver of commits.

use std::sync::Arc;
use std::time::Duration;

use unstale::{Handle, ListenerGuard, PgOptions, PgSource, Resolver, Sessions};

use super::{Application, Served, Told, actor, policy, report};
use unstale_harness::database::Database;
use unstale_harness::history::{Failure, Reply, Report};
use unstale_harness::plan::{Command, StaleUse};
use unstale_harness::system::{Capabilities, Capability, Port, System};
use unstale_harness::workload::{get, put, statement};

/// Longer than any call of a plan takes.
const CALL_MAX: Duration = Duration::from_secs(4);

/// The library over a PostgreSQL server.
pub struct UnstalePg {
    application: Application<PgSource>,
    told: Arc<Told>,
    _listening: ListenerGuard,
}

impl System for UnstalePg {
    const NAME: &'static str = "unstale-pg";

    fn capabilities() -> Capabilities {
        Capabilities::postgres().and(Capabilities::services()).and(Capabilities::of([
            Capability::ReadOnlyBegin,
            Capability::Sharing,
            Capability::Reports,
        ]))
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        Self::over(database, |sessions| sessions).await
    }

    async fn actor(&self, port: Port) {
        actor(&self.application, port).await;
    }

    async fn report(&self) -> Report {
        report(self.application.sessions(), &self.told).await
    }

    async fn stop(&self) {
        self.application.stop().await;
    }
}

impl UnstalePg {
    /// Starts with sessions that are as the application wants them.
    async fn over(
        database: &Database,
        wanted: impl FnOnce(Sessions<PgSource>) -> Sessions<PgSource>,
    ) -> Result<Self, Failure> {
        let mut policy = policy(database.connections());
        // Well below the wait that the harness takes for one without an end: a peer may be gone for good.
        policy.begin_timeout = CALL_MAX;
        policy.end_timeout = CALL_MAX;
        policy.statement_timeout = CALL_MAX;
        // On a busy machine a healthy server takes longer than in production: what it is late with is no loss.
        policy.connect_timeout = CALL_MAX;
        policy.probe_timeout = CALL_MAX / 4;
        policy.settle_timeout = CALL_MAX / 2;
        policy.release_timeout = CALL_MAX / 2;
        let source = PgSource::new(PgOptions::new(database.pg_connect_options()), &policy);
        let sessions = wanted(Sessions::new(source, policy)?);
        let told: Arc<Told> = Arc::default();
        let listening = told.listen(&sessions);
        let application = Application::new(sessions, database.build_recorder());
        if database.fixture() {
            application.begin_test().await?;
        }
        Ok(Self { application, told, _listening: listening })
    }
}

/// The same, whose every begin asks for its transaction's number in one message with it, so that a commit without an answer
/// can be looked up.
pub struct UnstalePgResolving(UnstalePg);

impl System for UnstalePgResolving {
    const NAME: &'static str = "unstale-pg-resolving";

    fn capabilities() -> Capabilities {
        UnstalePg::capabilities()
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        UnstalePg::over(database, |sessions| sessions.resolving(Resolver::transaction_id())).await.map(Self)
    }

    async fn actor(&self, port: Port) {
        self.0.actor(port).await;
    }

    async fn report(&self) -> Report {
        self.0.report().await
    }

    async fn stop(&self) {
        self.0.stop().await;
    }
}

impl Served for PgSource {
    async fn statement(handle: &Handle<Self>, command: &Command, port: &mut Port) {
        statement(handle, command, port).await;
    }

    async fn stale(handle: &Handle<Self>, usage: StaleUse) -> Result<Reply, Failure> {
        Ok(match usage {
            StaleUse::Get(key) => Reply::Value(get(handle, key).await?),
            StaleUse::Put(key, value) => Reply::Changed(put(handle, key, value).await?),
        })
    }
}
