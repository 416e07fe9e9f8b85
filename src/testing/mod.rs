//! The test fixture: a test's own isolated state, on one connection that everything in the test joins.
//!
//! ```
//! use unstale::testing::{Fixture, Template};
//! use unstale::{Sessions, SqliteSource};
//!
//! static DATABASE: Template = Template::new("create table account (id integer primary key, balance integer)");
//!
//! /// The application: it commits, and knows nothing of tests.
//! async fn open_account(sessions: &Sessions<SqliteSource>, id: i64) -> Result<(), Box<dyn std::error::Error>> {
//!     let scope = sessions.scope("open an account");
//!     scope.begin().await?;
//!     sqlx::query("insert into account values (?, 0)").bind(id).execute(&scope).await?;
//!     scope.commit().await?;
//!     scope.end().await?;
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let test = DATABASE.fixture().await?;
//! open_account(test.sessions(), 1).await?;
//! let look = test.sessions().scope("look");
//! let accounts: i64 = sqlx::query_scalar("select count(*) from account").fetch_one(&look).await?;
//! assert_eq!(accounts, 1);
//! drop(look);
//! test.end().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What a joined scope sees
//!
//! The test has a transaction of its own. A scope's `begin` sets a savepoint in it and its `commit` releases that: what was
//! committed stays when a later transaction is rolled back, and is gone after the test. Scopes take turns: one that is in a
//! transaction has the connection until its end, and whoever waits for longer than `acquire_timeout` is told for whom.
//!
//! # When it goes wrong
//!
//! | what happens | what the test sees |
//! | --- | --- |
//! | a scope waits for another that does not end its transaction | [`Error::TurnTimedOut`]: who waits, for whom, since when |
//! | a statement ends the test's own transaction (`OR ROLLBACK`) | [`Error::IsolationLost`] from then on, and at the end |
//! | the connection dies | the same |
//! | a scope is still open at the end | [`FixtureError::StillOpen`] naming who opened it, and where |
//! | the test panics | everything is rolled back, and the registry has its own sessions again |
//! | the fixture is dropped and its isolation was lost | a panic, unless the test panics already |
//! | two tests join one registry | [`FixtureError::RegistryInUse`] naming the other test |
//!
//! # What is not shown
//!
//! What belongs to real transactions: constraints that are deferred to the commit, locks and isolation between two
//! scopes, read-only transactions, what a commit refuses. For these open a [`Template::database`] without a fixture.

mod pg_template;
mod template;

pub use pg_template::{PgDatabase, PgTemplate};
pub use template::Template;

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::bounded::Repeatable;
use crate::error::Error;
use crate::health::Holder;
use crate::lease::{Joint, quiesce};
use crate::lender::Gone;
use crate::registry::{Override, Registry, ResolveError};
use crate::sessions::Sessions;
use crate::source::{Begin, Class, Connection, Control, Failure, Locking, OpenError, Source};
use crate::sync::Shared;

/// Set when the test begins and there until its end: if it is gone, somebody ended the test's transaction.
const MARK: u32 = u32::MAX;

/// Why nothing runs in a test that is over.
const ENDED: &str = "it has ended";

/// A test's own isolated state. See the [module](self).
#[must_use = "the test ends when this is dropped"]
pub struct Fixture<S: Source> {
    /// Whose connection it is.
    parent: Sessions<S>,
    joint: Arc<Joint<S>>,
    sessions: Sessions<S>,
    joined: Shared<Vec<Joined<S>>>,
    ended: bool,
}

/// A registry that resolves to a test's sessions. The order counts: first the original is back, then others may join.
struct Joined<S: Source> {
    _original_is_back: Override<S>,
    _seat: Seat,
}

/// The one place that a registry has for a test.
pub(crate) struct Seat {
    taken_by: Arc<Shared<Option<Holder>>>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.taken_by.with(|it| *it = None);
    }
}

/// Why a test could not begin, or why its result cannot be believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// The test's database could not be made.
    #[error("the test's database could not be made: {0}")]
    Template(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No connection for the test.
    #[error("the test has no connection: {0}")]
    Connection(#[source] Error),
    /// The test's transaction could not be begun.
    #[error(
        "the test's own transaction could not be begun: {0}; if other tests use this database, give each a copy of its own \
         with a `Template`"
    )]
    Begin(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something in the test ended its transaction, or cost it its connection.
    #[error("test {test} was not isolated: {why}; what it did may be kept, and what it saw may be another test's")]
    IsolationLost {
        /// The test.
        test: Holder,
        /// How.
        why: String,
    },
    /// Somebody goes on after the test.
    #[error(
        "test {test} ended while {} scopes are open, the first is {}: end them first; what they hold is stale from now on",
        holders.len(), holders.first().map_or_else(String::new, ToString::to_string)
    )]
    StillOpen {
        /// The test.
        test: Holder,
        /// Who.
        holders: Vec<Holder>,
    },
    /// The registry has no sessions that could be replaced.
    #[error("the registry has no `Sessions` to replace: register the application's with `instance(sessions)`: {0}")]
    NoSessions(#[source] ResolveError),
    /// Another test has joined the registry.
    #[error("the registry is in use by test {test}: let every test join a `fork()` of it, and none the original")]
    RegistryInUse {
        /// The other test.
        test: Holder,
    },
}

#[cfg(feature = "sqlite")]
impl From<OpenError> for FixtureError {
    fn from(error: OpenError) -> Self {
        Self::Template(Box::new(error))
    }
}

impl<S: Source> Fixture<S> {
    /// Begins a test on a connection of these sessions, under their policy. The test is named after the place of this call.
    ///
    /// # Errors
    /// [`FixtureError::Connection`], [`FixtureError::Begin`].
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped future leaves nothing behind.
    #[track_caller]
    pub fn begin(sessions: &Sessions<S>) -> impl Future<Output = Result<Self, FixtureError>> + Send + use<S> {
        Self::begin_at(sessions.clone(), Location::caller())
    }

    async fn begin_at(parent: Sessions<S>, opened: &'static Location<'static>) -> Result<Self, FixtureError> {
        let lender = parent.lender();
        let (bounded, source, policy) = (lender.bounded(), lender.source(), lender.policy());
        let mut lease = lender.connection().await.map_err(FixtureError::Connection)?;
        // The write lock at once: a test that was refused it midway would fail for a reason that is not its own.
        let begin = Control::Begin(Begin { locking: Locking::Immediate, ..Begin::default() });
        let began = source.now();
        let mut attempt = 1;
        loop {
            match bounded.within(policy.begin_timeout, lease.control(begin)).await {
                Some(Ok(())) => break,
                Some(Err(failure))
                    if failure.class == Class::StatementLost
                        && source.now().saturating_sub(began) < policy.acquire_timeout =>
                {
                    source.sleep(policy.backoff(attempt, source.random())).await;
                    attempt += 1;
                }
                Some(Err(failure)) => {
                    source.give_back_unclean(lease);
                    return Err(FixtureError::Begin(failure.source));
                }
                None => {
                    lender.discard(lease, "a test's begin was not answered", Gone::Silent);
                    return Err(FixtureError::Begin(format!("no answer within {:?}", policy.begin_timeout).into()));
                }
            }
        }
        if let Err(failure) = bounded.ask(&mut *lease, Repeatable(Control::Savepoint(MARK))).await {
            source.give_back_unclean(lease);
            return Err(FixtureError::Begin(failure.source));
        }
        let name = Cow::Owned(format!("{}:{}", opened.file(), opened.line()));
        let test = Holder { id: 0, name, opened, since: source.now() };
        let joint = Arc::new(Joint::new(test, lease));
        let sessions = parent.joined(Arc::clone(&joint));
        Ok(Self { parent, joint, sessions, joined: Shared::default(), ended: false })
    }

    /// The sessions for the application under test: their scopes join the test.
    pub fn sessions(&self) -> &Sessions<S> {
        &self.sessions
    }

    /// Replaces the `Sessions` of this registry by the test's, and lets what was built over them be built anew; until the
    /// test ends, by a panic too. A registry takes part in one test at a time, and a fork that is made meanwhile in the same.
    ///
    /// # Errors
    /// [`FixtureError::NoSessions`], [`FixtureError::RegistryInUse`].
    pub fn join(&self, registry: &Registry<S>) -> Result<(), FixtureError> {
        let seat = registry.seat_for(self.joint.test()).map_err(|test| FixtureError::RegistryInUse { test })?;
        let guard = registry.override_with(self.sessions.clone()).map_err(FixtureError::NoSessions)?;
        self.joined.with(|it| it.push(Joined { _original_is_back: guard, _seat: seat }));
        Ok(())
    }

    /// Ends the test: rolls everything back, and verifies that it was isolated until now.
    ///
    /// # Errors
    /// [`FixtureError::IsolationLost`], [`FixtureError::StillOpen`]. The test has ended all the same.
    ///
    /// # Cancel safety
    /// Cancel safe: what has not been done is done as by dropping the fixture.
    pub async fn end(mut self) -> Result<(), FixtureError> {
        self.sessions.close();
        drop(self.joined.with(std::mem::take));
        let holders = self.sessions.lender().holders(|_| true);
        let isolated = self.roll_back().await;
        self.ended = true;
        self.joint.close(ENDED);
        let test = self.joint.test().clone();
        isolated.map_err(|why| FixtureError::IsolationLost { test: test.clone(), why })?;
        if holders.is_empty() { Ok(()) } else { Err(FixtureError::StillOpen { test, holders }) }
    }

    /// Gives the connection back as it was, or up.
    async fn roll_back(&self) -> Result<(), String> {
        let lender = self.parent.lender();
        let (bounded, source, policy) = (lender.bounded(), lender.source(), lender.policy());
        let Some(mut core) = self.joint.try_core() else {
            // It goes with the call that has it.
            return Err("a call is still in flight".into());
        };
        let Some(mut lease) = core.take_lease() else { return Err("its connection is gone".into()) };
        let in_doubt = core.in_doubt();
        let undone = bounded.within(policy.end_timeout, async {
            if let Some(in_doubt) = in_doubt {
                let stopped = quiesce(bounded, &mut lease, in_doubt).await;
                stopped.map_err(|failure| format!("a cancelled call could not be stopped: {failure}"))?;
            }
            let undo = Repeatable(Control::RollbackTo(MARK));
            bounded.ask(&mut *lease, undo).await.map_err(ended_by_somebody)?;
            let rolled_back = bounded.ask(&mut *lease, Repeatable(Control::Rollback)).await;
            rolled_back.map_err(|it| format!("it could not be rolled back: {it}"))
        });
        let undone = undone.await.unwrap_or_else(|| Err("it could not be rolled back in time".into()));
        match (self.joint.lost(), undone) {
            (None, Ok(())) => {
                // A function may have left what no rollback undoes.
                if S::Connection::CLEANS {
                    source.give_back_owing(lease);
                } else {
                    source.give_back(lease);
                }
                Ok(())
            }
            (lost, undone) => {
                give_up(source, lease);
                Err(lost.or(undone.err()).unwrap_or_default())
            }
        }
    }
}

fn ended_by_somebody(failure: Failure) -> String {
    format!("the transaction that it began in is over ({failure})")
}

/// Whatever is open on it goes with it.
fn give_up<S: Source>(source: &S, lease: S::Lease) {
    if source.is_only() { source.give_back_unclean(lease) } else { source.discard(lease) }
}

impl<S: Source> Drop for Fixture<S> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.sessions.close();
        drop(self.joined.with(std::mem::take));
        if let Some(mut core) = self.joint.try_core()
            && let Some(lease) = core.take_lease()
        {
            give_up(self.parent.source(), lease);
        }
        let lost = self.joint.lost();
        self.joint.close(ENDED);
        if let Some(why) = lost
            && !std::thread::panicking()
        {
            panic!("{}", FixtureError::IsolationLost { test: self.joint.test().clone(), why });
        }
    }
}

impl<S: Source> fmt::Debug for Fixture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "test {}", self.joint.test())
    }
}

impl Seat {
    /// The place, if nobody has it; else who has.
    pub(crate) fn take(place: &Arc<Shared<Option<Holder>>>, test: &Holder) -> Result<Self, Holder> {
        place.with(|it| match it {
            Some(other) => Err(other.clone()),
            None => {
                *it = Some(test.clone());
                Ok(Self { taken_by: Arc::clone(place) })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No call of the library's does this; a defect of a driver or a hook of the application's could.
    #[tokio::test]
    async fn another_transaction_in_place_of_the_tests_own_is_found_at_the_end() {
        static TEMPLATE: Template = Template::new("create table kv (k integer)");
        let test = TEMPLATE.fixture().await.expect("a test");
        let mut core = test.joint.try_core().expect("nobody has the turn");
        let connection = core.connection().expect("the test's connection");
        connection.control(Control::Rollback).await.expect("ended behind the test's back");
        connection.control(Control::Begin(Begin::default())).await.expect("another one");
        drop(core);
        assert!(matches!(test.end().await, Err(FixtureError::IsolationLost { .. })));
    }
}
