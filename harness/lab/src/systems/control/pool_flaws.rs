//! What the control's pool does for flaws alone.
//!
//! The pool asks which flaw it has, and calls these.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::connection::{Boundary, Connection, Source};
use super::for_flaws::ForFlaws;
use super::pool::{Kept, Pool};
use crate::systems::unstale::others_go_on;
use unstale_harness::history::{Failure, Reply};
use unstale_harness::plan::{Command, Key};

impl<S: Source> Pool<S> {
    /// For [`Flaw::RacesAtGate`]: between this gate and the next, another caller may find the same connection.
    pub(super) async fn take_late(&self, gate: u8) -> Option<Kept<S>> {
        for _ in 1..gate {
            others_go_on().await;
        }
        let found = self.idle.borrow().last().cloned()?;
        others_go_on().await;
        self.idle.borrow_mut().retain(|other| !Arc::ptr_eq(other, &found));
        Some(found)
    }

    /// For [`Flaw::ReturnsTwice`]: one who takes it leaves it there for another.
    pub(super) fn put_again(&self, connection: Kept<S>) {
        self.idle.borrow_mut().push(connection);
    }

    /// For [`Flaw::Storms`].
    pub(super) async fn reconnect_all(&self) -> Result<(), Failure> {
        self.idle.take();
        for _ in 0..self.connections {
            let kept = self.connect().await?;
            self.put_back(kept);
        }
        Ok(())
    }

    /// For [`Flaw::CaptiveSession`]: the connection that a shared service works on.
    pub(super) fn captive(&self, first: Kept<S>) -> Kept<S> {
        Arc::clone(self.captive.borrow_mut().get_or_insert(first))
    }

    /// For [`Flaw::AnswersBeforeCommit`]: commits, as a task.
    pub(super) fn commit_later(&self, kept: Kept<S>) {
        self.source.spawn(async move {
            // Its caller has been told already that the commit is done.
            let _ = kept.lock().await.cross(Boundary::Commit).await;
        });
    }

    /// For [`Flaw::BuffersWrites`]: writes, as a task.
    pub(super) fn write_later(&self, kept: Kept<S>, write: Command) {
        self.source.spawn(async move {
            // Its caller has been told already that the row is written.
            let _ = kept.lock().await.answer(&write).await;
        });
    }

    /// For [`Flaw::ReadsElsewhere`]: what an idle connection answers, if there is one.
    pub(super) async fn ask_another(&self, command: &Command) -> Option<Result<Reply, Failure>> {
        let other = self.idle.borrow_mut().pop()?;
        let answer = other.lock().await.answer(command).await;
        if answer.is_ok() {
            self.put_back(other);
        }
        Some(answer)
    }

    /// For [`Flaw::ShiftsReplies`]: asks, and returns the oldest reply that nobody has taken.
    pub(super) async fn oldest_reply(&self, kept: &Kept<S>, command: &Command) -> Result<Reply, Failure> {
        let (asking, reply) = self.replies.ask(kept, command);
        self.source.spawn(asking);
        reply.await
    }

    /// For [`Flaw::WaitsCrosswise`]: waits until no other session holds the key.
    pub(super) async fn hold(&self, key: Key) -> OwnedMutexGuard<()> {
        let lock = Arc::clone(self.keys.borrow_mut().entry(key).or_default());
        lock.lock_owned().await
    }

    /// What a session has for its flaw.
    pub(super) fn for_flaws(&self) -> ForFlaws {
        ForFlaws::new(self.flaw, &self.remembered)
    }

    /// The next permit that is free is lost.
    pub(super) fn lose_room(&self) {
        let permits = Arc::clone(&self.permits);
        self.source.spawn(async move {
            if let Ok(permit) = permits.acquire_owned().await {
                permit.forget();
            }
        });
    }
}
