//! Whether the database can be used now.
//!
//! Owns the health check. Its answer is [`Validity`]; the counters are in [`crate::health`].

use std::time::Duration;

use super::scopes::Sessions;
use crate::health::Validity;
use crate::source::{ErrorClass, Source};

impl<S: Source> Sessions<S> {
    /// Returns whether the database can be used now: first by what is already known, then by a simple query on a
    /// connection, under `connect_timeout`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn check(&self) -> Validity {
        let (lender, source) = (self.lender(), self.source());
        if lender.is_closed() {
            return Validity::Closed;
        }
        if let Some(joint) = lender.joint() {
            return joint.lost().map_or(Validity::Valid { took: Duration::ZERO }, |why| Validity::Invalid { why });
        }
        let usage = source.usage();
        if usage.in_use >= usage.max {
            return Validity::Exhausted(usage);
        }
        let began = source.now();
        let limit = lender.policy().connect_timeout;
        let answer = lender.bounded().within(limit, async {
            let mut answer = lender.probe().await;
            // A dead idle connection says nothing about the database, and every connection of the pool may be one.
            for _ in 0..usage.max {
                match answer {
                    Err(failure) if failure.class == ErrorClass::Disconnected => answer = lender.probe().await,
                    _ => break,
                }
            }
            answer
        });
        match answer.await {
            Some(Ok(())) => Validity::Valid { took: source.now().saturating_sub(began) },
            Some(Err(failure)) => Validity::Invalid { why: failure.to_string() },
            None => Validity::Invalid { why: format!("no answer within {limit:?}") },
        }
    }
}
