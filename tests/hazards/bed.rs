//! What a database has to bring so that the hazards run on it, and what their cases need beside it.

use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use unstale::source::{Source, SqlxConnection};
use unstale::{Error, Handle, Policy, PolicyError, Scope, Sessions};

/// What sqlx calls a connection of a bed's database.
pub(crate) type ConnectionOf<B> =
    <<<<B as Bed>::Source as Source>::Connection as SqlxConnection>::Database as sqlx::Database>::Connection;

/// A database of a test's own, with sessions over it.
///
/// It has a table `kv` with two columns of 64-bit integers: `k`, which is its key, and `v`, which is never null.
pub(crate) trait Bed: Sized + Send + Sync + 'static {
    /// Where the sessions come from.
    type Source: Source<Connection: SqlxConnection>;

    /// Statements that begin or end a transaction behind the scope's back.
    const CONTROL: &'static [&'static str];

    /// Statements that leave something on the connection.
    const RESIDUE: &'static [&'static str];

    /// What [`Bed::residue`] finds where nothing was left.
    const NO_RESIDUE: &'static str;

    /// Whether something sent to the database is at its end before the next call on the same connection, so that a commit that
    /// was cancelled can be asked about.
    const TELLS_HOW_A_CANCELLED_COMMIT_ENDED: bool;

    /// Sessions under this policy, over an empty table.
    fn with(policy: Policy) -> impl Future<Output = Self> + Send;

    /// The same, where the next statement on a connection notices that it was [lost](Bed::lose).
    fn fragile(policy: Policy) -> impl Future<Output = Self> + Send {
        Self::with(policy)
    }

    /// The same under the usual policy.
    fn new() -> impl Future<Output = Self> + Send {
        Self::with(policy())
    }

    /// The sessions.
    fn sessions(&self) -> &Sessions<Self::Source>;

    /// What is committed, seen by a connection that the library does not know.
    fn rows(&self) -> impl Future<Output = Vec<(i64, i64)>> + Send;

    /// How a policy is refused that sessions are opened with.
    fn refusal(policy: Policy) -> impl Future<Output = PolicyError> + Send;

    /// Every connection there is dies, however it is used.
    fn lose(&self) -> impl Future<Output = ()>;

    /// New connections can be opened again.
    fn repair(&self) {}

    /// Whether this error says that its connection was lost.
    fn is_loss(error: &sqlx::Error) -> bool;

    /// Inserts a row.
    fn put(scope: &Scope<Self::Source>, k: i64, v: i64) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Inserts a row by a handle.
    fn put_by(handle: &Handle<Self::Source>, k: i64, v: i64) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Runs a statement.
    fn run(scope: &Scope<Self::Source>, sql: &'static str) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Runs a statement by a handle.
    fn run_by(handle: &Handle<Self::Source>, sql: &'static str) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Runs a text of several statements without values.
    fn run_raw(scope: &Scope<Self::Source>, sql: &'static str) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Runs a statement on the connection itself, past the library.
    fn run_on(connection: &mut ConnectionOf<Self>, sql: &'static str) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// The keys that a scope sees.
    fn keys(scope: &Scope<Self::Source>) -> impl Future<Output = Vec<i64>> + Send;

    /// Calls `beside` while a row stream of the scope has handed out one row and has others.
    fn beside_a_stream<T>(scope: &Scope<Self::Source>, beside: impl Future<Output = T>) -> impl Future<Output = T>;

    /// What is on the scope's connection that statements have left.
    fn residue(scope: &Scope<Self::Source>) -> impl Future<Output = String> + Send;
}

/// A bed whose connections come from a pool of the application's, which has one connection.
pub(crate) trait AdoptedBed: Bed {
    /// The application inserts a row, past the library.
    fn put_past(&self, k: i64, v: i64) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// The application borrows a connection, and keeps it.
    fn hold(&self) -> impl Future<Output = impl Send> + Send;

    /// The application begins a transaction, runs these statements in it, whatever becomes of them, and leaves it so.
    fn leave_transaction(&self, statements: &[&'static str]) -> impl Future<Output = ()> + Send;

    /// The application closes its pool.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// Few sessions, and limits that a busy machine does not come near: who waits for one of them sets it.
pub(crate) fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.sessions_max = 3;
    policy.acquire_timeout = Duration::from_secs(10);
    policy.probe_timeout = Duration::from_secs(5);
    policy.queue_timeout = Duration::from_secs(10);
    policy.connect_timeout = Duration::from_secs(10);
    policy.release_timeout = Duration::from_secs(10);
    policy
}

/// The same with one connection.
pub(crate) fn only_one() -> Policy {
    let mut policy = policy();
    policy.sessions_max = 1;
    policy
}

/// The library's own error inside an error of sqlx's.
pub(crate) fn own<T: Debug>(result: sqlx::Result<T>) -> String {
    let error = result.expect_err("an error");
    Error::of(&error).map_or_else(|| format!("not ours: {error}"), ToString::to_string)
}

/// Calls of these, begun until the first of them that is not answered at once: it waits for the database.
pub(crate) fn under_way<F: Future>(calls: impl IntoIterator<Item = F>) -> Pin<Box<F>> {
    let mut calls = calls.into_iter().map(Box::pin);
    calls
        .find_map(|mut call| (&mut call).now_or_never().is_none().then_some(call))
        .expect("the database takes its time")
}

/// Polls a future this often, back to back, and drops it; what it came to, if it was done by then.
///
/// How far it comes with a poll depends on how fast the driver answers: a case has to hold wherever it was cancelled.
pub(crate) async fn cancel_after<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Ample time for what is waited for, also on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Waits until something is so.
pub(crate) async fn within(limit: Duration, what: &str, mut so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < limit, "waited {limit:?} for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The error of a whole transaction that is run again where that helps.
#[derive(Debug)]
pub(crate) struct Failed(#[expect(dead_code, reason = "shown when a test fails")] String);

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}
