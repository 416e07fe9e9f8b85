//! Settling: how a cancelled call ended, and how a session loses its connection.
//!
//! Owns asking the database after a cancelled call, and discarding a session's connection. The state changes in
//! [`Session::transition`].

use super::shared::{Gone, Lender};
use crate::bounded::{Bounded, InTransaction, Repeatable};
use crate::health::Count;
use crate::lease::Lease;
use crate::session::{Call, Happened, Session, State};
use crate::source::{Connection, ConnectionError, Control, Source};

impl<S: Source> Lender<S> {
    /// Asks a connection how the cancelled call ended, and settles the session's state.
    pub(crate) async fn settle(&self, session: &mut Session<Lease<S>>) {
        let State::InDoubt { call, depth } = *session.state() else { return };
        if self.joint.is_some() && depth == 0 {
            // The turn has ended: the next turn cleans up the connection, or has already done so.
            return session.transition(Happened::Settled { open: false, certain: true });
        }
        let bounded = &self.bounded;
        let shared = self.joint.is_some() && S::Connection::INTERRUPTIBLE;
        // A cancelled statement that loses the transaction outside of a test loses it in a test as well.
        let certain = session.ask() && (S::Connection::ORDERED || call != Call::Statement);
        let open = match session.lease_mut() {
            Some(lease) if S::Connection::ORDERED || shared => {
                let asked = async {
                    lease.quiesce(bounded).await?;
                    settle(bounded, lease, call, depth, certain).await
                };
                Some(bounded.in_time(self.policy().settle_timeout, asked).await)
            }
            _ => None,
        };
        match open {
            Some(Ok(open)) => {
                session.answered();
                session.transition(Happened::Settled { open, certain });
            }
            Some(Err(failure)) => self.lose(session, failure.to_string(), Gone::of(&failure)),
            None => self.lose(session, "a call was cancelled".into(), Gone::Silent),
        }
    }

    /// Discards the session's connection and records it in the session's state.
    pub(crate) fn lose(&self, session: &mut Session<Lease<S>>, why: String, gone: Gone) {
        if let Some(lease) = session.take_lease() {
            self.give_up(lease, &why, gone);
        }
        self.count(Count::Lost);
        session.transition(Happened::GivenUp { why, then: self.after_loss() });
    }

    /// Discards a session's connection; a shared one is lost for every scope.
    pub(crate) fn give_up(&self, lease: Lease<S>, why: &str, gone: Gone) {
        match (lease, &self.joint) {
            (Lease::Own(lease), _) => self.discard(lease, why, gone),
            (Lease::Turns(_), Some(joint)) => joint.lose(why),
            (Lease::Turns(_), None) => unreachable!("turns are lent on a shared connection"),
        }
    }
}

/// Whether a transaction was open after this cancelled call. Where the caller cannot go on in it, it is rolled back.
async fn settle<S: Source>(
    bounded: &Bounded<S>,
    lease: &mut Lease<S>,
    call: Call,
    depth: u32,
    certain: bool,
) -> Result<bool, ConnectionError> {
    let open = bounded.ask(lease, InTransaction).await?;
    if open && (call != Call::Statement || depth == 0 || !certain) {
        bounded.ask(lease, Repeatable(Control::Rollback)).await?;
    }
    Ok(open)
}
