//! Every exhibit, in one table.
//!
//! To add one: a [`Flaw`](crate::systems::control::Flaw) with what it does, unless there is one already, and a row in here.

use super::exhibit::{Exhibit, subject};
use unstale_harness::oracle::Invariant;

/// Defines the table.
macro_rules! exhibits {
    ($($name:literal $source:ident $flaw:ident $([$($can:ident),*])? breaks $invariant:ident in $smallest:literal:
        $defect:literal, $origin:literal;)*) => {
        /// Every exhibit, wherever it runs.
        pub static EXHIBITS: &[Exhibit] = &[$(
            Exhibit {
                subject: subject!($name $source $flaw $([$($can),*])?),
                in_full: subject!($name $source $flaw),
                defect: concat!("zoo: ", $defect),
                origin: $origin,
                invariant: Invariant::$invariant,
                smallest_known: $smallest,
            },
        )*];
    };
}

// NAME DATABASE FLAW [WHAT IT CAN DO, if that is less than the control] breaks INVARIANT in COMMANDS: DEFECT, WHERE IT IS MET;
exhibits! {
    "zoo-shared-connection" Sqlite Shares [Transactions] breaks NoCrossScope in 1:
        "a connection is handed to two sessions at once",
        "pools whose idle list is read without being taken from";
    "zoo-static-session" Sqlite StaticSession [Transactions] breaks NoCrossScope in 1:
        "one session serves every scope",
        "a session registered as a static instance in a service registry";
    "zoo-check-then-use" Sqlite CheckThenUse [Transactions] breaks NoCrossScope in 1:
        "a connection is checked first and taken afterwards, so that another caller can take it in between",
        "pools that validate an idle connection in place";
    // The observer's write is in the transaction and is lost. `no-residue` breaks at the same event and is declared later.
    "zoo-no-rollback-on-drop" Sqlite KeepsTransaction [Transactions] breaks CommittedDurable in 2:
        "a transaction that is dropped is not rolled back before the connection is lent again",
        "pools that trust their borrowers to end what they began, as every pool without a reset on release does";
    "zoo-lying-commit" Sqlite CommitsLater [Transactions] breaks CommittedDurable in 4:
        "commit answers before it is done, and is lost when the session closes first",
        "wrappers that pipeline COMMIT with the next statement and do not wait for its reply";
    "zoo-released-connection" Sqlite HandleKeepsConnection [Transactions, Retention] breaks NoStaleUse in 4:
        "a retained handle serves statements on a connection that was given back",
        "singleton services that keep a scoped session";
    "zoo-handle-by-place" Sqlite HandleByPlace [Transactions, Retention] breaks NoStaleUse in 5:
        "a handle is compared by its place alone, and reaches the session that came after its own",
        "slot maps and connection ids without a generation, or with one that wraps";
    "zoo-always-healthy" Sqlite AlwaysHealthy [ClosePool, Reports] breaks HealthAgrees in 1:
        "the health check always says yes",
        "health endpoints that answer from configuration instead of asking the database";
    "zoo-always-sick" Sqlite AlwaysSick [Transactions] breaks ReconnectsBounded in 1:
        "the health check always says no, so every session reconnects",
        "validation queries that fail for another reason, a missing table or a right, and empty the pool";
    "zoo-recovers-inside" Sqlite RecoversInside [Transactions, Cancellation] breaks RolledBackInvisible in 4:
        "a connection lost inside a transaction is replaced, and the transaction goes on in autocommit",
        "drivers and proxies with automatic reconnect, such as MySQL's old `autoReconnect`";
    "zoo-depth-off-by-one" Sqlite DepthOffByOne [Transactions, Nesting] breaks RolledBackInvisible in 5:
        "the rollback of the first savepoint rolls the whole transaction back",
        "nested transactions that count depth from 0 in one place and from 1 in another";
    "zoo-leak-on-cancel" Sqlite LeaksOnCancel [Transactions, Cancellation] breaks NoLeak in 1:
        "an open that is cancelled keeps its permit for ever",
        "permits that are forgotten before the connection is made (sqlx #4349 is one such)";
    "zoo-leak-on-error" Sqlite LeaksOnError [Transactions, Faults] breaks NoLeak in 1:
        "an open that fails keeps its permit for ever",
        "early returns between taking the permit and making its guard";
    "zoo-listener-stays" Sqlite KeepsListeners [Transactions, Reports] breaks ListenersBalanced in 1:
        "the listener of a session is not removed when the session ends",
        "event emitters that are subscribed to per request";
    "zoo-captive-session" Sqlite CaptiveSession [Transactions, Registry] breaks NoCrossScope in 1:
        "a singleton works on the session of the scope in which it was first used",
        "singletons whose factory takes something scoped: ASP.NET Core's captive dependencies";
    "zoo-kept-repository" Sqlite KeepsRepository [Transactions, Registry] breaks RegistryFresh in 4:
        "a repository is cached across the replacement of its session",
        "test fixtures that replace the session in a registry and not what was built over it";
    "zoo-cleanup-cascades" Sqlite CleanupCascades [Transactions, Registry] breaks RegistryFresh in 4:
        "clean-up stops at its first error, and an override is never taken back",
        "tear-down functions whose steps follow each other without each being tried";
    "zoo-faked-commit" Sqlite FakesCommit [Transactions, Fixture] breaks CommittedDurable in 5:
        "inside a test a commit does nothing, and a later rollback undoes what was committed",
        "fixtures that replace `commit` by `flush`";
    "zoo-override-stays" Sqlite KeepsOverrides [Transactions, Registry] breaks RegistryFresh in 2:
        "an override outlives the test that panicked",
        "overrides that are taken back by the last line of a test";
    "zoo-override-shared" Sqlite SharesOverrides [Transactions, Registry] breaks RegistryFresh in 3:
        "an override of one test is seen by the others that run beside it",
        "overrides in a global container, such as FastAPI's `dependency_overrides`";
    "zoo-misses-transitive" Sqlite MissesTransitive [Transactions, Registry] breaks RegistryFresh in 4:
        "what is made from an invalidated service through another one is not built anew",
        "caches that are cleared by the name of the service alone";
    "zoo-cached-by-task" Sqlite CacheByTask [Transactions, Registry] breaks RegistryFresh in 4:
        "what belongs to a scope is kept by the task, and the task's next scope gets it",
        "scoped services in thread-locals or task-locals, such as SQLAlchemy's `scoped_session` without `remove()`";
    "zoo-built-twice" Sqlite BuildsTwice [Transactions, Registry] breaks RegistryFresh in 2:
        "two callers that ask for a singleton at the same time both build one",
        "caches that look, build, and put without holding anything in between";
    "zoo-lost-memory" Sqlite LosesMemory [Transactions, Cancellation] breaks Recovers in 2:
        "a database in memory is lost with its last connection, which is given up like any other",
        "pools over `:memory:` that close a connection on a cancelled call or an idle limit: `no such table`, sqlx #2510";
    "zoo-expired-transaction" Sqlite ExpiresTransactions [Transactions] breaks RolledBackInvisible in 4:
        "a transaction that idles for long is ended beside its owner, and what the owner does next commits by itself",
        "transaction time limits that tell nobody: Prisma #29762, Quarkus #45087";
    "zoo-commit-on-drop" Sqlite CommitsOnDrop [Transactions] breaks RolledBackInvisible in 4:
        "a transaction that is dropped is committed",
        "guards that commit when they go out of scope, and cannot tell how their block ended";
    "zoo-commit-on-close" Sqlite CommitsOnClose [Transactions] breaks RolledBackInvisible in 4:
        "a session that ends commits what is open in it",
        "JDBC's `close()`, which Oracle's driver commits in, and pools that turn autocommit on when they take back";
    "zoo-commit-outer" Sqlite CommitsOuter [Transactions, Nesting] breaks TransactionAgreement in 6:
        "the commit of a nested transaction commits all that is around it",
        "layers that pass COMMIT on at any depth: Python's sqlite3, MySQL, whose BEGIN commits what is open";
    "zoo-nested-ignored" Sqlite IgnoresNested [Transactions, Nesting] breaks RolledBackInvisible in 6:
        "a nested transaction is none, and its rollback undoes nothing",
        "Rails' `transaction` without `requires_new`, Spring's REQUIRED";
    "zoo-doomed-quietly" Sqlite DoomsQuietly [Transactions, Nesting] breaks CommittedDurable in 6:
        "after the rollback of a nested transaction the outer commit rolls back, and says that it is done",
        "rollback-only flags whose owner is not told, as Spring's without UnexpectedRollbackException";
    "zoo-failed-forgotten" Sqlite ForgetsFailed [Transactions] breaks CommittedDurable in 3:
        "a session that ends in a transaction that failed is lent again without a rollback",
        "layers that take every error for the end of the transaction, as it is for some";
    "zoo-identity-map" Sqlite KeepsReads [Transactions] breaks CommittedDurable in 1:
        "a row that was read once is not read again in its session",
        "identity maps and first-level caches that are not expired, as Hibernate's within a session";
    "zoo-early-cache" Sqlite CachesEarly [Transactions] breaks NoCrossScope in 5:
        "what is written is in everybody's cache before it is committed",
        "second-level caches and `cache.set` inside a transaction that is rolled back";
    "zoo-reads-elsewhere" Sqlite ReadsElsewhere [Transactions] breaks TransactionAgreement in 6:
        "a read inside a transaction is asked of another connection",
        "read/write splitting by the verb of a statement: ProxySQL, Pgpool-II, database routers";
    "zoo-short-scan" Sqlite EndsEarly [Transactions] breaks CommittedDurable in 5:
        "a list ends after its second row",
        "pages with a default size, and streams whose end is an error that nobody looks at";
    "zoo-swallowed-conflict" Sqlite SwallowsConflicts [Transactions] breaks CommittedDurable in 3:
        "a row that is there already is answered as if it were inserted",
        "idempotent consumers that take each 23505 for a repetition of their own";
    "zoo-says-deleted" Sqlite SaysDeleted [Transactions] breaks InnocentSucceeds in 2:
        "a deletion answers that there was a row",
        "repositories that answer `true` instead of asking for `rows_affected`";
    "zoo-write-behind" Sqlite BuffersWrites [Transactions] breaks CommittedDurable in 1:
        "a write is answered before it is sent",
        "write-behind buffers that are flushed at the next query: Hibernate's AUTO flush, Doctrine's unit of work";
    "zoo-refuses-to-wait" Sqlite RefusesToWait [Transactions] breaks InnocentSucceeds in 2:
        "a caller is refused where it would have to wait",
        "pools without a queue, and `try_acquire` where `acquire` is meant";
    "zoo-lost-wake-up" Sqlite WakesForReturnsAlone [Transactions] breaks NoLeak in 3:
        "whoever waits is woken by a connection that comes back, and not by one that is closed",
        "condition variables that are notified where a connection comes back, and not where it is closed";
    "zoo-lends-after-close" Sqlite LendsAfterClose [Transactions, ClosePool] breaks CloseEnds in 1:
        "a pool that was closed opens connections anew",
        "pools that reconnect by themselves, whatever the reason for which a connection is gone";
    "zoo-returned-twice" Sqlite ReturnsTwice [Transactions] breaks NoCrossScope in 2:
        "a connection on which a statement failed is given back twice",
        "error paths that release, followed by a `finally` that releases";
    "zoo-counted-for-ever" Sqlite CountsOn [Transactions, Registry, Reports] breaks ListenersBalanced in 2:
        "a session that ends by a panic is counted for ever",
        "gauges that are decreased behind the last line of a request";
    "zoo-joins-own-session" Sqlite JoinsOwnSession [Transactions, Autonomous] breaks NoCrossScope in 2:
        "whoever asks for a second session is given the one that it has",
        "sessions kept for each task or thread, under what is to have a transaction of its own: `REQUIRES_NEW`";
    "zoo-waits-for-ever" Sqlite WaitsForEver [Transactions, Autonomous] breaks NoHang in 2:
        "a caller waits for a connection for as long as it takes, also for one that it has itself",
        "transactions that need a second connection of their pool: spring #26250, HikariCP #442, knex #1171";
    "zoo-service-keeps-session" Sqlite ServiceKeepsSession [Transactions, Registry, ServiceUse] breaks NoStaleUse in 4:
        "a service keeps the session open that it was resolved in, and writes into it after its end",
        "services that hold the repository of a manager that was replaced: symfony #48124";
    "zoo-handle-reconnects" Sqlite HandleReconnects [Transactions, Retention] breaks NoStaleUse in 4:
        "a handle whose session has ended gets another connection by itself",
        "sessions that begin again when they are used after `close()`: SQLAlchemy's";
    "zoo-handle-names-connection" Sqlite HandleNamesConnection [Transactions, Retention] breaks StaleIsNamed in 4:
        "a handle whose session has ended says that a connection is closed",
        "the error that this project began with: `This Connection is closed`";
    "zoo-left-to-waiters" Sqlite LeavesToWaiters [Transactions, Sharing] breaks NoLeak in 2:
        "a session that ends under its calls is given back by the last of them, which may be dropped",
        "duties that are handed to whoever comes next through a fair lock";
    "zoo-restores-all" Sqlite RestoresAll [Transactions, Registry] breaks RegistryFresh in 5:
        "the end of one override takes back every override of its service",
        "containers with one slot for each service, which has no room for two tests";
    "zoo-fork-shares" Sqlite ForkShares [Transactions, Registry] breaks RegistryFresh in 2:
        "a fork has the singletons of what it was made from",
        "child containers that fall back to their parent's cache";
    "zoo-built-always" Sqlite BuildsAlways [Transactions, Registry] breaks RegistryFresh in 1:
        "a singleton is built for each one who asks",
        "factories that are registered without a lifetime, where the default is transient";
    "zoo-keeps-fork" Sqlite KeepsFork [Transactions, Registry] breaks RegistryFresh in 3:
        "a unit of work goes on with its fork after a panic",
        "test runners that use a thread again with what the last test has put into it";
    "zoo-scoped-for-all" Sqlite SharesScoped [Transactions, Registry] breaks RegistryFresh in 1:
        "what belongs to a session is kept for everybody",
        "`@lru_cache` on a factory, and FastAPI dependencies that are cached by hand";
    "zoo-swapped-apart" Sqlite SwapsApart [Transactions, Swaps] breaks Linearizable in 5:
        "a row is read and written anew without a transaction around both, so that another one's write is lost",
        "`fetch`, change, `save` in an ORM outside of a transaction";
    "zoo-missed-race" Sqlite MissesRacing [Transactions, Registry] breaks RegistryFresh in 2:
        "what is built while it is invalidated is taken for current",
        "caches that read the version after building instead of before";
    "zoo-blind-retry" Sim RetriesBlindly breaks NoDuplicateEffect in 2:
        "a write whose connection was lost before its answer is retried",
        "retry policies around a data-access layer that retry on every connection error";
    "zoo-residue-sim" Sim KeepsResidue breaks NoResidue in 2:
        "a connection goes back with the settings, locks and temporary tables of its last borrower",
        "pools without a reset on release: sqlx, r2d2, deadpool and HikariCP leave it to their users";
    "zoo-mistake-for-loss-sim" Sim MistakesAreLosses breaks ReconnectsBounded in 2:
        "a constraint that is violated is taken for a lost connection, which is replaced to try again",
        "handlers that catch the driver's base class of errors, or look for words in the message";
    "zoo-loss-for-mistake-sim" Sim LossesAreMistakes breaks Recovers in 1:
        "a lost connection is taken for a statement that was refused, and is lent again",
        "lists of fatal codes with gaps: HikariCP's lacks 25P03 and 57P05";
    "zoo-rollback-by-task-sim" Sim RollsBackByTask breaks CommittedDurable in 4:
        "what is open is rolled back by a task, and its connection is lent meanwhile",
        "guards whose Drop cannot await, and spawns";
    "zoo-swapped-unlocked-sim" Sim SwapsUnlocked [Transactions, Swaps] breaks Linearizable in 5:
        "a row is read without its lock and written anew in the same transaction, so that another one's write is lost",
        "`select` and `update` in one transaction at READ COMMITTED, which is the default";
    "zoo-returned-after-close-sim" Sim KeepsAfterClose [Transactions, ClosePool] breaks CloseEnds in 2:
        "a session that ends after the pool was closed gives its connection back to it",
        "pools that look for `closed` when they lend and not when they take back";
    "zoo-loses-room-sim" Sim LosesRoom breaks NoLeak in 2:
        "a connection that was found dead takes its room with it",
        "size counters that are decreased by their owner, and not by whoever finds it dead";
    "zoo-lost-wake-up-sim" Sim WakesForReturnsAlone breaks NoLeak in 3:
        "whoever waits is woken by a connection that comes back, and not by one that is closed",
        "condition variables that are notified where a connection comes back, and not where it is closed";
    "zoo-endless-rollback-pg" Postgres RollsBackForEver [Transactions, Faults, ConnectionLoss] breaks NoHang in 3:
        "a rollback waits for ever for a peer that is gone",
        "clean-up without a time limit: sqlx's `Transaction::rollback`, `database/sql` before contexts";
    "zoo-endless-probe-pg" Postgres ProbesForEver [Transactions, Faults, ConnectionLoss] breaks NoLeak in 2:
        "a probe has no time limit",
        "validation queries without one: sqlx's `test_before_acquire` has the caller's whole `acquire_timeout`";
    "zoo-lost-permit-pg" Postgres AwaitsAbandoned [Transactions, Faults, ConnectionLoss] breaks NoLeak in 2:
        "a permit is given back only when a connection that was given up has answered, and a silent one never does",
        "sqlx #4349: a pooled connection that is dropped while its peer is silent";
    "zoo-discarded-statements-pg" Postgres DiscardsStatements [Transactions] breaks Recovers in 2:
        "a connection is reset with `discard all`, and the driver still believes in its prepared statements",
        "reset queries under a driver's statement cache: PgBouncer's `server_reset_query`, asyncpg and Npgsql behind it";
    "zoo-prepared-once-pg" Postgres PreparesOnce [Transactions, Faults, ConnectionLoss] breaks Recovers in 2:
        "a statement is prepared by name on each connection of the pool, and not on those that take their place",
        "applications that prepare when they start; `prepared statement does not exist` after a failover";
    "zoo-residue-pg" Postgres KeepsResidue [Transactions, RawSql, ConnectionLocks] breaks NoResidue in 2:
        "a connection goes back with the settings, locks and temporary tables of its last borrower",
        "pools without a reset on release: sqlx, r2d2, deadpool and HikariCP leave it to their users";
    "zoo-mistake-for-loss-pg" Postgres MistakesAreLosses [Transactions] breaks ReconnectsBounded in 2:
        "a constraint that is violated is taken for a lost connection, which is replaced to try again",
        "handlers that catch the driver's base class of errors, or look for words in the message";
    "zoo-loss-for-mistake-pg" Postgres LossesAreMistakes [Transactions, Faults, ConnectionLoss] breaks Recovers in 1:
        "a lost connection is taken for a statement that was refused, and is lent again",
        "lists of fatal codes with gaps: HikariCP's lacks 25P03 and 57P05";
    "zoo-refused-commit-pg" Postgres AnswersRefusedCommits [Transactions, Faults] breaks CommittedDurable in 4:
        "a commit that a deferred constraint refuses is answered as if it were done",
        "layers that take the end of a transaction for its success: Prisma #17303, Doctrine DBAL #3423";
    "zoo-swapped-unlocked-pg" Postgres SwapsUnlocked [Transactions, Swaps] breaks Linearizable in 5:
        "a row is read without its lock and written anew in the same transaction, so that another one's write is lost",
        "`select` and `update` in one transaction at READ COMMITTED, which is the default";
    "zoo-read-only-kept-pg" Postgres KeepsReadOnly [Transactions, Faults, ConnectionLoss] breaks Recovers in 2:
        "a connection that has turned read-only is lent again",
        "pools that take 25006 for a caller's mistake: after a switchover every write fails for as long as a connection lives";
    "zoo-read-only-stays-pg" Postgres StaysReadOnly [Transactions, ReadOnlyBegin] breaks Recovers in 2:
        "what makes a transaction read-only stays on its connection",
        "pools that lend a connection again as read-only as it came back: PgBouncer #224, Agroal (Quarkus #47466)";
    "zoo-refused-login-pg" Postgres RemembersRefusedLogin [Transactions, Faults, ConnectionLoss] breaks Recovers in 1:
        "a login that is refused once is never tried again",
        "pools that take 28P01 for a mistake in their configuration, while passwords and tokens rotate: sqlx #445, psycopg #743";
    "zoo-reset-settings-pg" Postgres ResetsSettingsAlone [Transactions, RawSql, ConnectionLocks] breaks NoResidue in 2:
        "a connection is reset by `reset all`, which leaves what is no setting",
        "`server_reset_query` by hand: channels (wpmgr #496), locks, cursors and tables stay";
    "zoo-failed-forgotten-pg" Postgres ForgetsFailed [Transactions] breaks Recovers in 3:
        "a session that ends in a transaction that failed is lent again without a rollback",
        "pools that look for the status `T` of a connection and not for `E`";
    "zoo-reconnect-storm-pg" Postgres Storms [Transactions, Faults, ConnectionLoss] breaks ReconnectsBounded in 1:
        "one dead connection makes the pool reconnect all of them",
        "pools that are thrown away as a whole on the first error, by each caller who meets it";
}
