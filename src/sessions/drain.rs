//! The end of sessions: nothing is lent any more, and a drain waits for what is lent.

use std::time::Duration;

use super::scopes::Sessions;
use crate::health::Holder;
use crate::source::Source;

/// A drain that met its deadline: who still holds a scope.
#[derive(Debug, thiserror::Error)]
#[error("{} scopes did not end within {waited:?}, the first is {}", holders.len(), holders.first().map_or_else(String::new, ToString::to_string))]
pub struct DrainError {
    /// Who holds them, the oldest first.
    pub holders: Vec<Holder>,
    /// How long the drain waited.
    pub waited: Duration,
}

impl<S: Source> Sessions<S> {
    /// Lends nothing from now on. Scopes that have a connection keep it until they end.
    pub fn close(&self) {
        self.lender().close();
    }

    /// Closes, and waits until every scope has ended, at most this long.
    ///
    /// # Errors
    /// [`DrainError`]: who still holds a scope.
    ///
    /// # Cancel safety
    /// Cancel safe: the sessions stay closed.
    pub async fn drain(&self, deadline: Duration) -> Result<(), DrainError> {
        self.close();
        let (lender, source) = (self.lender(), self.source());
        let began = source.now();
        loop {
            let waited = source.now().saturating_sub(began);
            let lent = if lender.joint().is_some() { 0 } else { source.usage().in_use };
            if lender.open_scopes() == 0 && lent == 0 {
                return Ok(());
            }
            if waited >= deadline {
                return Err(DrainError { holders: lender.holders(|_| true), waited });
            }
            // There is no hurry: a drain waits for work that takes milliseconds.
            source.sleep(Duration::from_millis(1).min(deadline - waited)).await;
        }
    }
}
