//! The zoo: deliberately broken systems, each with one defect met in real software. The harness must catch every one.
//!
//! Owns the list of exhibits, and the two [wirings](WIRINGS) of the application that all this began with. Each is the
//! correct system [`guarded`](crate::systems::guarded) with one switch of [`Flaw`] thrown; what needs a connection that can
//! be lost is its [counterpart](crate::sim::guarded) in the simulation; what needs a network is in [`postgres`]. Nothing in
//! the generator or the oracle knows of them; they keep both honest.

use crate::sim::SimulatedSystem;
use crate::sim::guarded::{Hasty, Suspicious, Trusting, Untidy};
use crate::systems::guarded::{Flaw, Guarded, Variant};
use unstale_harness::chain::{Of, Subject};
use unstale_harness::oracle::Invariant;
use unstale_harness::system::{Capabilities, Capability};

/// Every exhibit, wherever it runs.
pub fn exhibits() -> impl Iterator<Item = &'static Exhibit> {
    EXHIBITS.iter().chain(postgres::EXHIBITS)
}

/// One broken system.
pub struct Exhibit {
    /// The system.
    pub subject: &'static dyn Subject,
    /// What is wrong with it.
    pub defect: &'static str,
    /// Where such a defect is met.
    pub origin: &'static str,
    /// The invariant that must break: the one that the smallest plan breaks.
    pub invariant: Invariant,
    /// The number of commands of that plan; shrinking must get there.
    pub smallest_known: usize,
}

/// Defines exhibits: the type that throws the switch, and its entry in the list.
macro_rules! zoo {
    (
        $(#[$doc:meta])*
        $list:ident: $system:ident, and [$($further:ident),*];
        $($flaw:ident {
            name: $name:literal,
            switch: $switch:ident,
            can: [$($capability:ident),*],
            defect: $defect:literal,
            origin: $origin:literal,
            breaks: $invariant:ident,
            smallest_known: $smallest:literal,
        })*
    ) => {
        $(
            struct $flaw;

            impl Variant for $flaw {
                const NAME: &'static str = $name;
                const FLAW: Option<Flaw> = Some(Flaw::$switch);

                fn capabilities() -> Capabilities {
                    Capabilities::of([Capability::Identity, $(Capability::$capability),*])
                }
            }
        )*

        $(#[$doc])*
        pub static $list: &[Exhibit] = &[$(
            Exhibit {
                subject: &Of::<$system<$flaw>>::new(),
                defect: concat!("zoo: ", $defect),
                origin: $origin,
                invariant: Invariant::$invariant,
                smallest_known: $smallest,
            },
        )* $($further),*];
    };
}

pub mod postgres;

/// Before the repair: one session, registered as an instance.
struct StaticWiring;

impl Variant for StaticWiring {
    const NAME: &'static str = "wiring-static-session";
    const FLAW: Option<Flaw> = Some(Flaw::StaticSession);
}

/// After the repair: sessions come from a scoped factory, and the services over them are still singletons.
struct CaptiveWiring;

impl Variant for CaptiveWiring {
    const NAME: &'static str = "wiring-captive-services";
    const FLAW: Option<Flaw> = Some(Flaw::CaptiveSession);
}

/// An application's two wirings, with everything that an application can do: before and after a repair that left the cause.
pub static WIRINGS: [(&dyn Subject, &str); 2] = [
    (&Of::<Guarded<StaticWiring>>::new(), "an application whose session is registered as a static instance"),
    (&Of::<Guarded<CaptiveWiring>>::new(), "the same with scoped sessions under singleton services"),
];

const BLIND_RETRY: Exhibit = Exhibit {
    subject: &SimulatedSystem::<Hasty>::new(),
    defect: "zoo: a write whose connection was lost before it was answered is done again",
    origin: "retry policies around a data-access layer that retry on every connection error",
    invariant: Invariant::NoDuplicateEffect,
    smallest_known: 2,
};

const RESIDUE: Exhibit = Exhibit {
    subject: &SimulatedSystem::<Untidy>::new(),
    defect: "zoo: a connection goes back with the settings, locks and temporary tables of its last borrower",
    origin: "pools without a reset on release: sqlx, r2d2, deadpool and HikariCP leave it to their users",
    invariant: Invariant::NoResidue,
    smallest_known: 2,
};

const MISTAKE_FOR_LOSS: Exhibit = Exhibit {
    subject: &SimulatedSystem::<Suspicious>::new(),
    defect: "zoo: a constraint that is violated is taken for a lost connection, which is replaced to try again",
    origin: "handlers that catch the driver's base class of errors, or look for words in the message",
    invariant: Invariant::ReconnectsBounded,
    smallest_known: 2,
};

const LOSS_FOR_MISTAKE: Exhibit = Exhibit {
    subject: &SimulatedSystem::<Trusting>::new(),
    defect: "zoo: a lost connection is taken for a statement that was refused, and is lent again",
    origin: "lists of fatal codes with gaps: HikariCP's lacks 25P03 and 57P05",
    invariant: Invariant::Recovers,
    smallest_known: 1,
};

zoo! {
    /// Every exhibit on SQLite and in the simulation.
    EXHIBITS: Guarded, and [BLIND_RETRY, RESIDUE, MISTAKE_FOR_LOSS, LOSS_FOR_MISTAKE];
    SharedConnection {
        name: "zoo-shared-connection",
        switch: Shares,
        can: [Transactions],
        defect: "a connection is handed to two sessions at once",
        origin: "pools whose idle list is read without being taken from",
        breaks: NoCrossScope,
        smallest_known: 1,
    }
    StaticSession {
        name: "zoo-static-session",
        switch: StaticSession,
        can: [Transactions],
        defect: "one session serves every scope",
        origin: "a session registered as a static instance in a service registry (see the seed's `db.session`)",
        breaks: NoCrossScope,
        smallest_known: 1,
    }
    CheckThenUse {
        name: "zoo-check-then-use",
        switch: CheckThenUse,
        can: [Transactions],
        defect: "a connection is checked first and taken afterwards, and somebody else does so in between",
        origin: "pools that validate an idle connection in place",
        breaks: NoCrossScope,
        smallest_known: 1,
    }
    NoRollbackOnDrop {
        name: "zoo-no-rollback-on-drop",
        switch: KeepsTransaction,
        can: [Transactions],
        defect: "a transaction that is dropped is not rolled back before the connection is lent again",
        origin: "pools that trust their borrowers to end what they began, as every pool without a reset on release does",
        // The observer's write is in the transaction and is lost. `no-residue` breaks at the same event and is declared later.
        breaks: CommittedDurable,
        smallest_known: 2,
    }
    LyingCommit {
        name: "zoo-lying-commit",
        switch: CommitsLater,
        can: [Transactions],
        defect: "commit answers before it is done, and is lost when the session closes first",
        origin: "wrappers that pipeline COMMIT with the next statement and do not wait for its reply",
        breaks: CommittedDurable,
        smallest_known: 4,
    }
    ReleasedConnection {
        name: "zoo-released-connection",
        switch: HandleKeepsConnection,
        can: [Transactions, Retention],
        defect: "a retained handle serves statements on a connection that was given back",
        origin: "singleton services that keep a scoped session (the root cause of the seed's 139 failures)",
        breaks: NoStaleUse,
        smallest_known: 4,
    }
    HandleByPlace {
        name: "zoo-handle-by-place",
        switch: HandleByPlace,
        can: [Transactions, Retention],
        defect: "a handle is compared by its place alone, and reaches the session that came after its own",
        origin: "slot maps and connection ids without a generation, or with one that wraps",
        breaks: NoStaleUse,
        smallest_known: 5,
    }
    AlwaysHealthy {
        name: "zoo-always-healthy",
        switch: AlwaysHealthy,
        can: [ClosePool, Reports],
        defect: "the health check always says yes",
        origin: "health endpoints that answer from configuration instead of asking the database",
        breaks: HealthAgrees,
        smallest_known: 1,
    }
    AlwaysSick {
        name: "zoo-always-sick",
        switch: AlwaysSick,
        can: [Transactions],
        defect: "the health check always says no, so every session reconnects",
        origin: "validation queries that fail for another reason, a missing table or a right, and empty the pool",
        breaks: ReconnectsBounded,
        smallest_known: 1,
    }
    RecoversInside {
        name: "zoo-recovers-inside",
        switch: RecoversInside,
        can: [Transactions, Cancellation],
        defect: "a connection lost inside a transaction is replaced, and the transaction goes on in autocommit",
        origin: "drivers and proxies with automatic reconnect, such as MySQL's old `autoReconnect`",
        breaks: RolledBackInvisible,
        smallest_known: 5,
    }
    DepthOffByOne {
        name: "zoo-depth-off-by-one",
        switch: DepthOffByOne,
        can: [Transactions, Nesting],
        defect: "the rollback of the first savepoint rolls the whole transaction back",
        origin: "nested transactions that count depth from 0 in one place and from 1 in another",
        breaks: RolledBackInvisible,
        smallest_known: 6,
    }
    LeakOnCancel {
        name: "zoo-leak-on-cancel",
        switch: LeaksOnCancel,
        can: [Transactions, Cancellation],
        defect: "an open that is cancelled keeps its permit for ever",
        origin: "permits that are forgotten before the connection is made (sqlx #4349 is one such)",
        breaks: NoLeak,
        smallest_known: 1,
    }
    LeakOnError {
        name: "zoo-leak-on-error",
        switch: LeaksOnError,
        can: [Transactions, Faults],
        defect: "an open that fails keeps its permit for ever",
        origin: "early returns between taking the permit and making its guard",
        breaks: NoLeak,
        smallest_known: 1,
    }
    ListenerStays {
        name: "zoo-listener-stays",
        switch: KeepsListeners,
        can: [Transactions, Reports],
        defect: "the listener of a session is not removed when the session ends",
        origin: "event emitters that are subscribed to per request",
        breaks: ListenersBalanced,
        smallest_known: 1,
    }
    CaptiveSession {
        name: "zoo-captive-session",
        switch: CaptiveSession,
        can: [Transactions, Registry],
        defect: "a singleton works on the session of the scope in which it was first used",
        origin: "singletons whose factory takes something scoped: ASP.NET Core's captive dependencies, and what was left of the seed",
        breaks: NoCrossScope,
        smallest_known: 1,
    }
    KeptRepository {
        name: "zoo-kept-repository",
        switch: KeepsRepository,
        can: [Transactions, Registry],
        defect: "a repository is cached across the replacement of its session",
        origin: "test fixtures that replace the session in a registry and not what was built over it (the seed)",
        breaks: RegistryFresh,
        smallest_known: 4,
    }
    CleanupCascades {
        name: "zoo-cleanup-cascades",
        switch: CleanupCascades,
        can: [Transactions, Registry],
        defect: "clean-up stops at its first error, and an override is never taken back",
        origin: "tear-down functions whose steps follow each other without each being tried (the seed's `conftest.py`)",
        breaks: RegistryFresh,
        smallest_known: 4,
    }
    FakedCommit {
        name: "zoo-faked-commit",
        switch: FakesCommit,
        can: [Transactions, Fixture],
        defect: "inside a test a commit does nothing, and a later rollback undoes what was committed",
        origin: "fixtures that replace `commit` by `flush`",
        breaks: CommittedDurable,
        smallest_known: 5,
    }
    OverrideStays {
        name: "zoo-override-stays",
        switch: KeepsOverrides,
        can: [Transactions, Registry],
        defect: "what stands in for a service still does after the test has panicked",
        origin: "overrides that are taken back by the last line of a test",
        breaks: RegistryFresh,
        smallest_known: 2,
    }
    OverrideShared {
        name: "zoo-override-shared",
        switch: SharesOverrides,
        can: [Transactions, Registry],
        defect: "what stands in for a service in one test does so in the others that run beside it",
        origin: "overrides in a global container, such as FastAPI's `dependency_overrides`",
        breaks: RegistryFresh,
        smallest_known: 3,
    }
    MissesTransitive {
        name: "zoo-misses-transitive",
        switch: MissesTransitive,
        can: [Transactions, Registry],
        defect: "what is made from an invalidated service through another one is not built anew",
        origin: "caches that are cleared by the name of the service alone",
        breaks: RegistryFresh,
        smallest_known: 4,
    }
    CachedByTask {
        name: "zoo-cached-by-task",
        switch: CacheByTask,
        can: [Transactions, Registry],
        defect: "what belongs to a scope is kept by the task, and the task's next scope gets it",
        origin: "scoped services in thread-locals or task-locals, such as SQLAlchemy's `scoped_session` without `remove()`",
        breaks: RegistryFresh,
        smallest_known: 4,
    }
    BuiltTwice {
        name: "zoo-built-twice",
        switch: BuildsTwice,
        can: [Transactions, Registry],
        defect: "two who ask for a singleton at the same time both build one",
        origin: "caches that look, build, and put without holding anything in between",
        breaks: RegistryFresh,
        smallest_known: 2,
    }
}
