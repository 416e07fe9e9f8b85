//! The fixture: one test's transaction on one connection, which every scope of the test joins.
//!
//! Owns how the test begins, which registries it has joined, and that it ends with a rollback and a verdict about its isolation. How
//! joined scopes take turns is the lease's.

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::error::FixtureError;
use crate::bounded::Repeatable;
use crate::health::Holder;
use crate::lease::{Joint, quiesce};
use crate::lender::Gone;
use crate::registry::{Override, Registry, Reservation};
use crate::sessions::Sessions;
use crate::source::{Begin, Connection, ConnectionError, Control, ErrorClass, Locking, Source};
use crate::sync::Shared;

/// The savepoint that is set when the test begins. If it is gone at the end, something ended the test's transaction.
const MARK: u32 = u32::MAX;

/// Why a call in an ended test is refused.
const ENDED: &str = "it has ended";

/// A test's own isolated state. See the [module](super).
#[must_use = "the test ends when this is dropped"]
pub struct Fixture<S: Source> {
    /// The sessions that own its connection.
    parent: Sessions<S>,
    joint: Arc<Joint<S>>,
    sessions: Sessions<S>,
    joined: Shared<Vec<Joined<S>>>,
    ended: bool,
}

/// A registry that resolves to a test's sessions. The order matters: the original is back before another test may join.
struct Joined<S: Source> {
    _override: Override<S>,
    _reservation: Reservation,
}

impl<S: Source> Fixture<S> {
    /// Begins a test on a connection of these sessions, under their policy. The test is named after the place of this call.
    ///
    /// # Errors
    /// [`FixtureError::Connection`], [`FixtureError::Begin`]; [`FixtureError::Inside`] for the sessions of another test.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped future leaves nothing behind.
    #[track_caller]
    pub fn begin(sessions: &Sessions<S>) -> impl Future<Output = Result<Self, FixtureError>> + Send + use<S> {
        Self::begin_at(sessions.clone(), Location::caller())
    }

    /// Begins a test with the name of this place.
    pub(super) async fn begin_at(
        parent: Sessions<S>,
        opened: &'static Location<'static>,
    ) -> Result<Self, FixtureError> {
        let lender = parent.lender();
        if let Some(outer) = lender.joint() {
            return Err(FixtureError::Inside { outer: outer.test().clone() });
        }
        let (bounded, source, policy) = (lender.bounded(), lender.source(), lender.policy());
        let mut lease = lender.connection().await.map_err(FixtureError::Connection)?;
        // The write lock at once: a test that is refused the lock midway would fail for a foreign reason.
        let begin = Control::Begin(Begin { locking: Locking::Immediate, ..Begin::default() });
        let began = source.now();
        let mut attempt = 1;
        loop {
            match bounded.within(policy.begin_timeout, lease.control(begin)).await {
                Some(Ok(())) => break,
                Some(Err(failure))
                    if failure.class == ErrorClass::RetryStatement
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
        let lender = Arc::clone(parent.lender());
        let joint = Arc::new(Joint::new(test, lease, move |lease| give_up(lender.source(), lease)));
        let sessions = parent.joined(Arc::clone(&joint));
        Ok(Self { parent, joint, sessions, joined: Shared::default(), ended: false })
    }

    /// The sessions for the application under test: their scopes join the test.
    pub fn sessions(&self) -> &Sessions<S> {
        &self.sessions
    }

    /// Replaces the `Sessions` of this registry by the test's, and has everything that depends on them built anew, until the test
    /// ends, also by a panic. A registry takes part in one test at a time; a fork that is made meanwhile takes part in the same.
    ///
    /// # Errors
    /// [`FixtureError::NoSessions`], [`FixtureError::RegistryInUse`].
    pub fn join(&self, registry: &Registry<S>) -> Result<(), FixtureError> {
        let reservation =
            registry.reserve_for(self.joint.test()).map_err(|test| FixtureError::RegistryInUse { test })?;
        let guard = registry.override_with(self.sessions.clone()).map_err(FixtureError::NoSessions)?;
        self.joined.with(|it| it.push(Joined { _override: guard, _reservation: reservation }));
        Ok(())
    }

    /// Ends the test: rolls everything back, and verifies that it was isolated until now.
    ///
    /// # Errors
    /// [`FixtureError::IsolationLost`], [`FixtureError::StillOpen`]. The test has ended all the same.
    ///
    /// # Cancel safety
    /// Cancel safe: the rest happens as when the fixture is dropped.
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

    /// Gives the connection back as it was, or gives it up.
    async fn roll_back(&self) -> Result<(), String> {
        let lender = self.parent.lender();
        let (bounded, source, policy) = (lender.bounded(), lender.source(), lender.policy());
        let Some(mut core) = self.joint.end() else {
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
            bounded.ask(&mut *lease, undo).await.map_err(isolation_lost)?;
            let rolled_back = bounded.ask(&mut *lease, Repeatable(Control::Rollback)).await;
            rolled_back.map_err(|it| format!("it could not be rolled back: {it}"))
        });
        let undone = undone.await.unwrap_or_else(|| Err("it could not be rolled back in time".into()));
        match (self.joint.lost(), undone) {
            (None, Ok(())) => {
                // A function may have left something that no rollback undoes.
                if S::Connection::CLEANS {
                    source.give_back_needing_reset(lease);
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

fn isolation_lost(failure: ConnectionError) -> String {
    format!("the transaction that it began in is over ({failure})")
}

/// Gives up a connection with whatever is open on it.
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
        if let Some(mut core) = self.joint.end()
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

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::source::SqliteOptions;

    /// No call of the library's does this; a defect of a driver or a hook of the application's could.
    #[tokio::test]
    async fn another_transaction_in_place_of_the_tests_own_is_found_at_the_end() {
        let options = SqliteOptions::from_url("sqlite::memory:").expect("a URL");
        let sessions = options.open(Policy::for_tests()).await.expect("a database");
        let test = Fixture::begin(&sessions).await.expect("a test");
        let mut core = test.joint.end().expect("the turn is free");
        let connection = core.connection().expect("the test's connection");
        connection.control(Control::Rollback).await.expect("ended behind the test's back");
        connection.control(Control::Begin(Begin::default())).await.expect("another one");
        drop(core);
        assert!(matches!(test.end().await, Err(FixtureError::IsolationLost { .. })));
    }
}
