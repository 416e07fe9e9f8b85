//! Whether the database can be used now.
//!
//! Owns the health check. What it comes to is [`Validity`]; the counters are in [`crate::health`].

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Gone, Inner, Sessions};
use crate::health::Validity;
use crate::source::{AcquireError, Class, Condition, Failure, Source};

impl<S: Source> Sessions<S> {
    /// Whether the database can be used now: what is known already first, then a simple query on a connection, under
    /// `connect_timeout`.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn check(&self) -> Validity {
        if self.inner.draining.load(Ordering::Acquire) {
            return Validity::Closed;
        }
        if let Some(joint) = &self.inner.joint {
            return joint.lost().map_or(Validity::Valid { took: Duration::ZERO }, |why| Validity::Invalid { why });
        }
        let usage = self.inner.source.usage();
        if usage.in_use >= usage.max {
            return Validity::Exhausted(usage);
        }
        let began = self.inner.source.now();
        let limit = self.inner.policy.connect_timeout;
        let answer = self.inner.within(limit, async {
            let mut answer = self.inner.look().await;
            // One that died on the shelf says nothing of the database, and there may be as many as the shelf holds.
            for _ in 0..usage.max {
                match answer {
                    Err(failure) if failure.class == Class::Dead => answer = self.inner.look().await,
                    _ => break,
                }
            }
            answer
        });
        match answer.await {
            Some(Ok(())) => Validity::Valid { took: self.inner.source.now().saturating_sub(began) },
            Some(Err(failure)) => Validity::Invalid { why: failure.to_string() },
            None => Validity::Invalid { why: format!("no answer within {limit:?}") },
        }
    }
}

impl<S: Source> Inner<S> {
    /// Whether a connection answers.
    async fn look(&self) -> Result<(), Failure> {
        match self.source.acquire().await {
            Ok(mut lent) => {
                let condition = lent.condition.max(Condition::Suspect);
                let answer = self.make_good(&mut lent.lease, condition).await;
                match &answer {
                    Ok(()) => self.source.give_back(lent.lease),
                    Err(it) => self.discard(lent.lease, "it did not answer a health check", Gone::of(it)),
                }
                answer
            }
            Err(AcquireError::Closed) => Err(Failure::new(Class::Mistake, "the source is closed")),
            Err(AcquireError::Connect(failure)) => Err(failure),
        }
    }
}
