//! Several calls at once in one session: how the actors of all systems race, and abandon.

use futures_util::future::{FutureExt, LocalBoxFuture, SelectAll, select_all};

use unstale_harness::history::{Failure, Reply};

/// As many calls as there are at once: one has the session, one is the next, and one waits behind it.
const AT_ONCE: usize = 3;

type Answer = Result<Reply, Failure>;

/// The same call several times. The first that ends counts; the others are dropped where they wait.
pub(crate) struct AtOnce<'a>(SelectAll<LocalBoxFuture<'a, Answer>>);

impl<'a> AtOnce<'a> {
    pub(crate) fn of<F: Future<Output = Answer> + 'a>(call: impl Fn() -> F) -> Self {
        Self(select_all((0..AT_ONCE).map(|_| call().boxed_local())))
    }

    /// # Cancel safety
    /// All calls are dropped where they are.
    pub(crate) async fn first(self) -> Answer {
        self.0.await.0
    }

    /// The same, and what they are made in is left once all of them are under way; `leave` is told whether they still are.
    ///
    /// # Cancel safety
    /// As [`AtOnce::first`].
    pub(crate) async fn first_after(mut self, leave: impl FnOnce(bool)) -> Answer {
        let ended = (&mut self.0).now_or_never();
        leave(ended.is_none());
        match ended {
            Some((answer, ..)) => answer,
            None => self.first().await,
        }
    }
}
