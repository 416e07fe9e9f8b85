//! Lending: attempts, backoff and deadline, and health before lending.
//!
//! Owns how a scope, a test or the library itself gets a connection. Its later life is in [`super::settling`] and
//! [`super::release`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::release::clean;
use super::shared::{Gone, Lender};
use crate::bounded::First;
use crate::error::Error;
use crate::health::{Count, Holder};
use crate::lease::{Lease, Turns};
#[cfg(feature = "postgres")]
use crate::source::postgres::is_login_refused;
use crate::source::{AcquireError, Condition, Connection, ConnectionError, ErrorClass, Settings, Source};

/// The condition in which a connection is lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fitness {
    /// Known to answer: probed, whatever its condition.
    Probed,
    /// Fit for use: probed or cleaned as its condition requires.
    Fit,
    /// As it was found: the first call probes or cleans it as its condition requires.
    AsFound,
}

impl Fitness {
    /// Whether a connection in this condition is lent as it is.
    fn is_met_by(self, condition: Condition) -> bool {
        match self {
            Self::Probed => false,
            Self::Fit => condition.is_fit(),
            Self::AsFound => true,
        }
    }

    /// What a connection in this condition is taken for.
    fn asks(self, condition: Condition) -> Condition {
        if self == Self::Probed { condition.max(Condition::Suspect) } else { condition }
    }
}

impl<S: Source> Lender<S> {
    /// Lends a scope a connection for its session.
    pub(crate) async fn lend(
        &self,
        holder: &Holder,
        fitness: Fitness,
        settings: &Settings,
    ) -> Result<(Lease<S>, Condition), Error> {
        let Some(joint) = &self.joint else {
            return self.attempt(fitness, settings).await.map(|(lease, condition)| (Lease::Own(lease), condition));
        };
        self.unless_closed()?;
        Ok((Lease::Turns(Turns::on(Arc::clone(joint), holder.clone(), settings.clone())), Condition::Good))
    }

    /// Lends a connection that answers and belongs to no scope.
    pub(crate) async fn connection(&self) -> Result<S::Lease, Error> {
        self.attempt(Fitness::Probed, &Settings::default()).boxed().await.map(|(lease, _)| lease)
    }

    /// Lends a connection: attempts with backoff under one deadline.
    async fn attempt(&self, fitness: Fitness, settings: &Settings) -> Result<(S::Lease, Condition), Error> {
        let (source, policy) = (self.source(), self.policy());
        let began = source.now();
        let deadline = began.saturating_add(policy.acquire_timeout);
        let mut attempts = 0;
        let mut last: Option<ConnectionError> = None;
        loop {
            // A source that others use as well lends on.
            self.unless_closed()?;
            let left = deadline.saturating_sub(source.now());
            let Some(lent) = self.bounded.within(left, source.acquire()).await else {
                return Err(self.not_lent(began, attempts, last));
            };
            attempts += 1;
            let failure = match lent {
                Ok(lent) if self.is_closed() => {
                    let fit = lent.condition.is_fit();
                    if fit {
                        source.give_back(lent.lease)
                    } else {
                        source.discard(lent.lease)
                    }
                    return Err(Error::Closed);
                }
                Ok(lent) if settings.is_empty() && fitness.is_met_by(lent.condition) => {
                    return Ok((lent.lease, lent.condition));
                }
                Ok(mut lent) => match self.make_fit_with(&mut lent.lease, fitness.asks(lent.condition), settings).await
                {
                    Ok(()) => return Ok((lent.lease, Condition::Good)),
                    Err(failure) if failure.class == ErrorClass::Rejected && !settings.is_empty() => {
                        source.give_back_needing_reset(lent.lease);
                        return Err(failure.into());
                    }
                    Err(failure) => {
                        self.discard(lent.lease, "it did not answer a probe", Gone::of(&failure));
                        // A dead connection is no reason to wait: the next one may be good.
                        last = Some(failure);
                        if attempts >= self.attempts_max() {
                            return Err(self.not_lent(began, attempts, last));
                        }
                        continue;
                    }
                },
                Err(AcquireError::Closed) => return Err(Error::Closed),
                Err(AcquireError::Connect(failure)) => failure,
            };
            self.count(Count::ConnectFailed);
            let (hopeless, outage) = (failure.class == ErrorClass::Rejected, failure.class == ErrorClass::Unavailable);
            last = Some(failure);
            let (now, random) = (source.now(), source.random());
            let wait = if outage {
                policy.outage_backoff(now.saturating_sub(began), random)
            } else {
                policy.backoff(attempts, random)
            };
            if hopeless || !outage && attempts >= policy.attempts_max || now + wait >= deadline {
                return Err(self.not_lent(began, attempts, last));
            }
            source.sleep(wait).await;
        }
    }

    /// Opens the first connection, to check that the database can be used. Waits for a server that is starting up, but
    /// not for one that is absent.
    #[cfg(feature = "postgres")]
    pub(crate) async fn first_connection(&self) -> Result<S::Lease, ConnectionError> {
        let (source, policy) = (self.source(), self.policy());
        let began = source.now();
        loop {
            let failure = match source.acquire().await {
                Ok(lent) => return Ok(lent.lease),
                Err(AcquireError::Closed) => {
                    return Err(ConnectionError::new(ErrorClass::Disconnected, "the source is closed"));
                }
                Err(AcquireError::Connect(failure)) => failure,
            };
            let waited = source.now().saturating_sub(began);
            // An absent server is an I/O error; a server that is not ready says so.
            let error = failure.source.downcast_ref::<sqlx::Error>();
            let says_so = error.is_some_and(|error| error.as_database_error().is_some());
            // Whoever has never been let in has a wrong name or password.
            let says_so = says_so && !error.is_some_and(is_login_refused);
            if failure.class != ErrorClass::Unavailable || !says_so || waited >= policy.acquire_timeout {
                return Err(failure);
            }
            source.sleep(policy.outage_backoff(waited, source.random())).await;
        }
    }

    /// How many connections a call tries. Dead idle ones do not count as attempts to open one.
    pub(crate) fn attempts_max(&self) -> u32 {
        self.policy().attempts_max.saturating_add(self.source().usage().max)
    }

    fn unless_closed(&self) -> Result<(), Error> {
        if self.is_closed() { Err(Error::Closed) } else { Ok(()) }
    }

    fn not_lent(&self, began: Duration, attempts: u32, last: Option<ConnectionError>) -> Error {
        let waited = self.source().now().saturating_sub(began);
        match last {
            Some(failure) => Error::Unavailable { attempts, waited, source: failure.source },
            None => Error::Exhausted { usage: self.source().usage(), waited },
        }
    }

    /// Probes or cleans a connection as its condition requires.
    pub(crate) async fn make_fit(&self, lease: &mut S::Lease, condition: Condition) -> Result<(), ConnectionError> {
        let (bounded, policy) = (&self.bounded, self.policy());
        let probe_limit = bounded.probe_limit(lease);
        let first = match condition {
            Condition::Good | Condition::Recent => return Ok(()),
            Condition::Suspect => bounded.or_spare(probe_limit, lease.probe()).await?,
            Condition::NeedsReset { suspect: true } => {
                bounded.or_spare(probe_limit, self.source().clean(lease)).await?
            }
            Condition::NeedsReset { suspect: false } => {
                First::Answer(bounded.in_time(policy.release_timeout, self.source().clean(lease)).await?)
            }
            Condition::Unclean => {
                First::Answer(bounded.in_time(policy.release_timeout, clean(bounded, &mut **lease)).await?)
            }
        };
        match first {
            First::Answer(()) => self.source().mark_healthy(lease),
            First::Spare(spare) => self.replace(lease, spare),
        }
        Ok(())
    }

    /// The same, and sets what is set for its scope.
    async fn make_fit_with(
        &self,
        lease: &mut S::Lease,
        condition: Condition,
        settings: &Settings,
    ) -> Result<(), ConnectionError> {
        self.make_fit(lease, condition).await?;
        if !settings.is_empty() {
            self.bounded.in_time(self.policy().begin_timeout, lease.set(settings)).await?;
            self.source().mark_healthy(lease);
        }
        Ok(())
    }

    /// Whether the database answers on one connection.
    pub(crate) async fn probe(&self) -> Result<(), ConnectionError> {
        match self.source().acquire().await {
            Ok(mut lent) => {
                let condition = lent.condition.max(Condition::Suspect);
                let answer = self.make_fit(&mut lent.lease, condition).await;
                match &answer {
                    Ok(()) => self.source().give_back(lent.lease),
                    Err(failure) => {
                        self.discard(lent.lease, "it did not answer a health check", Gone::of(failure));
                    }
                }
                answer
            }
            Err(AcquireError::Closed) => Err(ConnectionError::new(ErrorClass::Rejected, "the source is closed")),
            Err(AcquireError::Connect(failure)) => Err(failure),
        }
    }
}
