//! The end of sessions: nothing more is lent, and a drain waits for lent connections.

use std::time::Duration;

use super::scopes::Sessions;
use crate::health::Holder;
use crate::source::Source;

/// A drain that reached its deadline, with the holders of open scopes.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub struct DrainError {
    /// The holders, the oldest first.
    pub holders: Vec<Holder>,
    /// How long the drain waited.
    pub waited: Duration,
}

impl DrainError {
    fn text(&self) -> String {
        let (scopes, waited) = (self.holders.len(), self.waited);
        match self.holders.first() {
            Some(first) => format!("{scopes} scopes did not end within {waited:?}, the first is {first}"),
            None => {
                format!("every scope has ended, and a connection of theirs was still being cleaned after {waited:?}")
            }
        }
    }
}

impl<S: Source> Sessions<S> {
    /// Lends nothing from now on. Scopes that have a connection keep it until they end. A pool that was adopted stays open for its
    /// other users, with its connections.
    pub fn close(&self) {
        self.lender().close();
    }

    /// Closes, and waits until every scope has ended, at most this long.
    ///
    /// # Errors
    /// [`DrainError`] names the holders of open scopes.
    ///
    /// # Cancel safety
    /// Cancel safe: the sessions stay closed.
    pub async fn drain(&self, deadline: Duration) -> Result<(), DrainError> {
        self.close();
        let (lender, source) = (self.lender(), self.source());
        let began = source.now();
        loop {
            let waited = source.now().saturating_sub(began);
            let lent = if lender.joint().is_some() { 0 } else { source.lent() };
            if lender.open_scopes() == 0 && lent == 0 {
                return Ok(());
            }
            if waited >= deadline {
                return Err(DrainError { holders: lender.holders(|_| true), waited });
            }
            // Polling is enough: a drain waits for work that takes milliseconds.
            source.sleep(Duration::from_millis(1).min(deadline - waited)).await;
        }
    }
}
