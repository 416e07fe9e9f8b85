//! What can be wrong with the control, and what the system with that flaw is.
//!
//! Owns the list of flaws. The code of each stands where it removes a safeguard.

use unstale_harness::system::{Capabilities, Extension};

/// What a system may get wrong: each is one defect, and a system has one at most. Most make sense on every database; the last
/// group needs PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A connection that is lent stays among the idle ones.
    Shares,
    /// Every actor uses the session that was opened first.
    StaticSession,
    /// A connection is checked, and taken afterwards: another caller that checks meanwhile takes the same one.
    CheckThenUse,
    /// The health check, and with it the release gate, believes everything.
    AlwaysHealthy,
    /// The release gate believes no connection.
    AlwaysSick,
    /// An open transaction is not rolled back before the connection is lent again.
    KeepsTransaction,
    /// What was left on a connection goes to its next borrower.
    KeepsResidue,
    /// A commit is sent only with the next statement.
    CommitsLater,
    /// A connection that is lost inside a transaction is replaced, and the transaction goes on.
    RecoversInside,
    /// A write whose outcome is unknown is retried.
    RetriesBlindly,
    /// A statement that was refused is taken for a connection that is lost, and retried on another one.
    MistakesAreLosses,
    /// A connection that is lost is taken for a statement that was refused.
    LossesAreMistakes,
    /// One dead connection makes the pool reconnect all of them.
    Storms,
    /// The rollback of the first savepoint is taken for that of the transaction.
    DepthOffByOne,
    /// A retained handle holds the connection instead of the session.
    HandleKeepsConnection,
    /// A retained handle is known by its place, and reaches whatever session is there by then.
    HandleByPlace,
    /// An open that is cancelled keeps its permit.
    LeaksOnCancel,
    /// An open that fails keeps its permit.
    LeaksOnError,
    /// The listener of a session stays when the session ends.
    KeepsListeners,
    /// A shared service works on the connection of the session in which it was first used.
    CaptiveSession,
    /// What was resolved in a session is kept when the session is replaced.
    KeepsRepository,
    /// What belongs to a session is kept by the actor that resolved it.
    CacheByTask,
    /// An override stays when the unit of work panics.
    KeepsOverrides,
    /// After a transaction that has to be rolled back, the rest of the clean-up is left out.
    CleanupCascades,
    /// An override in a registry of one's own applies to every registry.
    SharesOverrides,
    /// Only what is made from a service directly is rebuilt when it changes.
    MissesTransitive,
    /// Two actors that resolve a service at once both build it.
    BuildsTwice,
    /// Inside a fixture a commit does nothing.
    FakesCommit,
    /// A permit is given back as soon as its connection has been opened.
    KeepsNoLimit,
    /// A transaction inside another one is refused.
    RefusesNesting,
    /// A listener is told everything twice.
    TellsTwice,
    /// A connection on which a transaction was begun is not lent again.
    ClosesAfterTransaction,
    /// A commit is answered at once, and done by a task afterwards.
    AnswersBeforeCommit,
    /// Every second command of a session is not carried out.
    SkipsEverySecond,
    /// What begins with a lock is begun without it.
    DefersImmediate,
    /// A statement that fails ends its transaction, and what follows is done outside of any.
    AutocommitsAfterFailure,
    /// A transaction in which nothing happened for long is ended, and what follows is done outside of any.
    ExpiresTransactions,
    /// Of several overrides of one service the newest but one is in force.
    PrefersOlderOverride,
    /// What others have not committed is read where the database allows it.
    ReadsUncommitted,
    /// A transaction that is dropped is committed.
    CommitsOnDrop,
    /// A session that ends commits what is open in it.
    CommitsOnClose,
    /// The commit of a transaction inside another one commits both.
    CommitsOuter,
    /// A transaction inside another one is none, so that its end does nothing.
    IgnoresNested,
    /// A transaction in which another one was rolled back is rolled back by its commit, which is answered as if it were done.
    DoomsQuietly,
    /// What is open at a session's end is rolled back by a task, and its connection is lent again meanwhile.
    RollsBackByTask,
    /// A transaction in which a statement failed is taken for one that the database has ended.
    ForgetsFailed,
    /// What a session has read or written is not read again in it.
    KeepsReads,
    /// What is written is in everybody's cache at once, before it is committed.
    CachesEarly,
    /// A read inside a transaction is asked of another connection, where one is idle.
    ReadsElsewhere,
    /// A list of rows ends after the second one.
    EndsEarly,
    /// A row that is there already is taken for one that was inserted earlier, and is no error.
    SwallowsConflicts,
    /// A deletion answers that there was a row.
    SaysDeleted,
    /// A write outside of a transaction is answered at once, and sent before what comes next.
    BuffersWrites,
    /// A caller that meets no free connection is refused at once.
    RefusesToWait,
    /// A caller waits for a connection for as long as it takes.
    WaitsForEver,
    /// Whoever asks for a second session is given the one that it has.
    JoinsOwnSession,
    /// A service keeps the session open that it was resolved in.
    ServiceKeepsSession,
    /// The room of a connection that was found dead is lost.
    LosesRoom,
    /// Whoever waits for a connection is woken by one that is given back, and not by one that is closed.
    WakesForReturnsAlone,
    /// A session that ends after the pool was closed gives its connection back to it.
    KeepsAfterClose,
    /// A pool that was closed still lends.
    LendsAfterClose,
    /// A connection on which a statement failed is given back twice.
    ReturnsTwice,
    /// A session that ends by a panic is counted for ever.
    CountsOn,
    /// A handle whose session has ended gets itself another connection.
    HandleReconnects,
    /// A handle whose session has ended says that a connection is closed.
    HandleNamesConnection,
    /// The last of the calls that are under way in a session that ends is to give its connection back, and may be dropped.
    LeavesToWaiters,
    /// A guard that is dropped takes back every override of its service.
    RestoresAll,
    /// A fork has the singletons of the registry that it was made from.
    ForkShares,
    /// A singleton is built for each one who asks.
    BuildsAlways,
    /// A unit of work goes on with its own registry after a panic.
    KeepsFork,
    /// What belongs to a session is kept for everybody.
    SharesScoped,
    /// What is built while it is invalidated is taken for current.
    MissesRacing,
    /// A database in memory is lost with its last connection, which may be given up as any other.
    LosesMemory,
    /// A row is read and written anew without a transaction around both.
    SwapsApart,
    /// A row is read without its lock, and written anew in the same transaction.
    SwapsUnlocked,
    /// A commit that the database refuses is answered as if it were done.
    AnswersRefusedCommits,
    /// A session waits for a key that another one's transaction holds, whoever waits for whom.
    WaitsCrosswise,
    /// A connection is looked up at this gate of an open, and taken at the next.
    RacesAtGate(u8),
    /// A transaction in which another one is open is not rolled back before the connection is lent again.
    KeepsNested,
    /// A caller that has given up stays in the queue for permits, and the permit that it gets is lost.
    SwallowsPermits,
    /// The rollback of a savepoint keeps what came after it.
    ReleasesInstead,
    /// The reply of a call that was cancelled is taken for that of the next one.
    ShiftsReplies,
    /// A rollback has no time limit.
    RollsBackForEver,
    /// A probe has no time limit.
    ProbesForEver,
    /// The answer of a connection in doubt is awaited without a time limit, with its permit held.
    AwaitsAbandoned,
    /// A connection is reset with `discard all` before it is lent, under a driver that still knows its prepared statements.
    DiscardsStatements,
    /// A query is prepared by name on the first connections, and not on those that take their place.
    PreparesOnce,
    /// A commit is believed although the server has rolled its transaction back.
    BelievesCommits,
    /// The server's process behind a connection that was given up is not told to end.
    LeavesBackends,
    /// A login that was refused once is not tried again.
    RemembersRefusedLogin,
    /// A connection that has turned read-only is lent again.
    KeepsReadOnly,
    /// What makes a transaction read-only is set on its connection, and stays there.
    StaysReadOnly,
    /// What was left on a connection is cleared but for what is no setting.
    ResetsSettingsAlone,
    /// A number is read, added to in the application, and written, in a transaction that takes so many round trips.
    LosesUpdates(u8),
}

/// One system that the control can be; as it stands, the control itself.
pub trait Spec: 'static {
    /// The system's name; none for that of the control.
    const NAME: Option<&'static str> = None;
    /// What is wrong with it.
    const FLAW: Option<Flaw> = None;

    /// What the system can do, if that is less than the control: no more than it needs to be wrong.
    fn capabilities() -> Option<Capabilities> {
        None
    }

    /// Its further commands, if it has any.
    fn extension() -> Option<&'static dyn Extension> {
        None
    }
}

/// The control: nothing is wrong.
pub struct Sound;

impl Spec for Sound {}
