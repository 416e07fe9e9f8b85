//! `guarded-sim`: a correct system straight over the simulated source, as small as can be, that must raise no alarm.
//!
//! As [`crate::systems::guarded`] on SQLite, it buys its correctness with bluntness: every connection is probed before it is
//! used; a session whose statement failed inside a transaction refuses everything until the rollback; a connection that was
//! touched by a cancel, by raw SQL or by an open transaction is closed instead of being lent again. It is the control of
//! the simulation: whatever alarms here is the simulation's own defect. Each switch of [`Flaw`] takes one piece away.

use std::marker::PhantomData;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::Mutex;
use unstale::Begin;
use unstale::source::{AcquireError, Connection, Control, Serve, Source};

use super::request::Statement;
use super::source::{Ordered, SimLease, SimSource};
use super::system::Simulated;
use super::world::World;
use unstale_harness::history::{Class, Failure, Reply, Report};
use unstale_harness::plan::{BeginMode, Command, Plan, StaleUse};
use unstale_harness::port::Ended;
use unstale_harness::system::{Capabilities, Capability, Port};

/// What a system may get wrong when a connection is lost: each switch is one defect, and a system has at most one of them
/// thrown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A write of which nobody knows whether it was done is done again.
    RetriesBlindly,
    /// A connection that is lost inside a transaction is replaced, and the transaction goes on.
    RecoversInside,
    /// Whatever was left on a connection goes to its next borrower.
    KeepsResidue,
    /// A statement that was refused is taken for a connection that is lost, and done again on another one.
    MistakesAreLosses,
    /// A connection that is lost is taken for a statement that was refused.
    LossesAreMistakes,
}

/// Which of the systems that `guarded-sim` can be: the correct one, or one with a flaw.
pub trait Variant: 'static {
    /// The name of the system.
    const NAME: &'static str;
    /// What is wrong with it.
    const FLAW: Option<Flaw>;
}

/// Nothing is wrong.
pub struct Careful;

impl Variant for Careful {
    const NAME: &'static str = "guarded-sim";
    const FLAW: Option<Flaw> = None;
}

/// Defines those that leave one piece of care away.
macro_rules! careless {
    ($($(#[$doc:meta])* $type:ident = $variant:ident $name:literal $flaw:ident)*) => {
        $(
            $(#[$doc])*
            pub type $type = Lender<$variant>;

            $(#[$doc])*
            pub struct $variant;

            impl Variant for $variant {
                const NAME: &'static str = $name;
                const FLAW: Option<Flaw> = Some(Flaw::$flaw);
            }
        )*
    };
}

careless! {
    /// A write of which nobody knows whether it was done is done again.
    Hasty = Retries "zoo-blind-retry" RetriesBlindly
    /// A connection that is lost inside a transaction is replaced, and the transaction goes on.
    Forgetful = Recovers "recovery-inside-sim" RecoversInside
    /// Connections go back with whatever was left on them.
    Untidy = KeepsResidue "zoo-residue-sim" KeepsResidue
    /// What was refused is done again on another connection.
    Suspicious = FearsMistakes "zoo-mistake-for-loss-sim" MistakesAreLosses
    /// Connections that are lost are kept.
    Trusting = BelievesLosses "zoo-loss-for-mistake-sim" LossesAreMistakes
}

/// The correct one.
pub type Guarded = Lender<Careful>;

/// Lends probed connections.
pub struct Lender<V>(Rc<Pool>, PhantomData<V>);

/// What all actors share. Whatever is wrong with it, it is compiled once.
struct Pool {
    source: SimSource<Ordered>,
    flaw: Option<Flaw>,
}

/// A connection lent to one session.
struct Lease {
    connection: Option<SimLease<Ordered>>,
    pool: Rc<Pool>,
    /// 0 outside a transaction, 1 in one, more in savepoints.
    depth: u32,
    /// A statement failed in the transaction: only its end is accepted.
    aborted: bool,
    /// A call was cut off, or the connection was: nothing is known of it any more.
    lost: bool,
    /// Raw SQL ran here.
    raw: bool,
}

impl<V: Variant> Simulated for Lender<V> {
    const NAME: &'static str = V::NAME;

    fn capabilities() -> Capabilities {
        Capabilities::sqlite().with(Capability::Retention).and(Capabilities::simulation())
    }

    fn start(world: &World, plan: &Plan) -> Self {
        let probe_idle_after = Duration::ZERO;
        let source = SimSource::new(world.clone(), u32::from(plan.connections), false, probe_idle_after);
        Self(Rc::new(Pool { source, flaw: V::FLAW }), PhantomData)
    }

    fn actor(&self, port: Port) -> impl Future<Output = ()> {
        self.0.actor(port)
    }

    async fn report(&self) -> Report {
        Report::default()
    }

    async fn stop(&self) {
        self.0.source.close();
    }
}

impl Pool {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    async fn actor(self: &Rc<Self>, mut port: Port) {
        let mut session: Option<Rc<Mutex<Lease>>> = None;
        let mut retained: Weak<Mutex<Lease>> = Weak::new();
        while let Some(command) = port.next().await {
            match (&command, &session) {
                (Command::Open, None) => {
                    session = port.run(self.open()).await.map(|lease| Rc::new(Mutex::new(lease)));
                }
                (Command::ClosePool, None) => {
                    self.source.close();
                    port.run(std::future::ready(Ok::<_, Failure>(()))).await;
                }
                (Command::Close, Some(_)) => {
                    let lease = session.take();
                    port.run(async move {
                        drop(lease);
                        Ok::<_, Failure>(())
                    })
                    .await;
                }
                (Command::Retain, Some(lease)) => {
                    let handle = Rc::downgrade(lease);
                    if let Some(kept) = port.run(std::future::ready(Ok::<_, Failure>(handle))).await {
                        retained = kept;
                    }
                }
                (Command::Stale(usage), _) => {
                    port.ask(use_retained(retained.clone(), *usage), Reply::clone).await;
                }
                (_, Some(lease)) => lease.lock().await.obey(&command, &mut port).await,
                (_, None) => {}
            }
        }
    }

    async fn open(self: &Rc<Self>) -> Result<Lease, Failure> {
        let connection = Some(self.lend().await?);
        Ok(Lease { connection, pool: Rc::clone(self), depth: 0, aborted: false, lost: false, raw: false })
    }

    /// Lends a connection that has answered a probe. A dead one is replaced; while none can be opened it is tried again.
    async fn lend(&self) -> Result<SimLease<Ordered>, Failure> {
        loop {
            match self.source.acquire().await {
                Ok(mut lent) => match lent.lease.probe().await {
                    Ok(()) => return Ok(lent.lease),
                    Err(_) if self.has(Flaw::LossesAreMistakes) => return Ok(lent.lease),
                    Err(_) => self.source.discard(lent.lease),
                },
                Err(AcquireError::Closed) => return Err(Failure::new(Class::Closed, "the pool is closed")),
                Err(AcquireError::Connect(_)) => self.source.sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

/// The release gate: a connection goes back only if nothing can be left on it.
impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if self.lost || self.raw && !self.has(Flaw::KeepsResidue) || self.depth > 0 {
            self.pool.source.discard(connection);
        } else {
            self.pool.source.give_back(connection);
        }
    }
}

impl Lease {
    fn has(&self, flaw: Flaw) -> bool {
        self.pool.has(flaw)
    }

    async fn obey(&mut self, command: &Command, port: &mut Port) {
        match command {
            Command::Commit | Command::Rollback | Command::Drop if self.depth == 0 => {}
            Command::Commit => {
                port.run(self.commit()).await;
            }
            Command::Rollback | Command::Drop => {
                port.run(self.rollback()).await;
            }
            command => match self.refusal() {
                Some(refusal) => {
                    port.run(std::future::ready(Err::<(), _>(refusal))).await;
                }
                None => self.statement(command, port).await,
            },
        }
        self.lost |= port.last() == Ended::Cancelled;
    }

    async fn statement(&mut self, command: &Command, port: &mut Port) {
        if let Command::Begin(mode) = command {
            port.run(self.begin(*mode)).await;
        } else if let Some(statement) = Statement::of(command) {
            self.raw |= matches!(command, Command::Raw(_));
            port.ask(self.serve(statement), Reply::clone).await;
        }
        self.aborted |= self.depth > 0 && port.last() == Ended::Failed;
    }

    /// Why nothing may run here before the transaction, or the session, has ended.
    fn refusal(&self) -> Option<Failure> {
        if self.lost {
            return Some(Failure::new(Class::Closed, "an earlier call was cut off: close the session"));
        }
        self.aborted.then(|| Failure::new(Class::NoTransaction, "an earlier statement failed: roll back"))
    }

    async fn serve(&mut self, statement: Statement) -> Result<Reply, Failure> {
        self.lost = true;
        let mut result = self.connection().serve(statement).await;
        let is = |class, it: &Result<Reply, unstale::source::ConnectionError>| {
            it.as_ref().is_err_and(|it| it.class == class)
        };
        let believes = self.has(Flaw::LossesAreMistakes);
        let dead = |it: &_| is(unstale::ErrorClass::Disconnected, it) && !believes;
        let misread =
            self.has(Flaw::MistakesAreLosses) && self.depth == 0 && is(unstale::ErrorClass::Rejected, &result);
        let goes_on = if self.depth == 0 { Flaw::RetriesBlindly } else { Flaw::RecoversInside };
        if misread || dead(&result) && self.has(goes_on) {
            if let Some(old) = self.connection.take() {
                self.pool.source.discard(old);
            }
            self.connection = Some(self.pool.lend().await?);
            result = self.connection().serve(statement).await;
        }
        self.lost = dead(&result);
        result.map_err(failure)
    }

    async fn begin(&mut self, mode: BeginMode) -> Result<(), Failure> {
        let control = match (self.depth, mode) {
            (0, _) => Control::Begin(Begin::default()),
            (depth, BeginMode::Plain) => Control::Savepoint(depth),
            _ => return Err(Failure::new(Class::Mistake, "an explicit begin cannot be nested")),
        };
        self.control(control).await?;
        self.depth += 1;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        if let Some(refusal) = self.refusal() {
            self.rollback().await?;
            return Err(refusal);
        }
        let control = if self.depth == 1 { Control::Commit } else { Control::Release(self.depth - 1) };
        let result = self.control(control).await;
        if result.is_ok() {
            self.depth -= 1;
        } else {
            // What it answers changes nothing: the commit has failed, and a connection in doubt is closed.
            let _ = self.rollback().await;
        }
        result
    }

    /// Ends the innermost transaction. One that may have been ended by the database itself, and a savepoint of one that
    /// failed, stay refused until the outermost has ended.
    async fn rollback(&mut self) -> Result<(), Failure> {
        self.depth -= 1;
        if self.lost {
            // The connection is closed with its session, and its transaction with it.
            return Ok(());
        }
        if self.depth > 0 {
            if self.aborted {
                return Ok(());
            }
            let result = self.control(Control::RollbackTo(self.depth)).await;
            // What was to be undone is still there: only the end of the session undoes it.
            self.lost |= result.is_err();
            return result;
        }
        let failed = std::mem::take(&mut self.aborted);
        match self.control(Control::Rollback).await {
            Err(failure) if failed && failure.class == Class::Mistake => Ok(()),
            result => {
                // A rollback that failed leaves the transaction open: nobody may have the connection after this.
                self.lost |= result.is_err();
                result
            }
        }
    }

    /// Runs a statement of its own; if this is cut off, the session is lost.
    async fn control(&mut self, control: Control) -> Result<(), Failure> {
        self.lost = true;
        let result = self.connection().control(control).await.map_err(failure);
        self.lost = result.as_ref().is_err_and(|it| it.class == Class::Dead);
        result
    }

    fn connection(&mut self) -> &mut SimLease<Ordered> {
        self.connection.as_mut().expect("a lease keeps its connection until it is dropped")
    }
}

async fn use_retained(handle: Weak<Mutex<Lease>>, usage: StaleUse) -> Result<Reply, Failure> {
    let Some(lease) = handle.upgrade() else {
        return Err(Failure::new(Class::Stale, "this handle's session has ended: resolve it again"));
    };
    let mut lease = lease.lock().await;
    if let Some(refusal) = lease.refusal() {
        return Err(refusal);
    }
    let result = lease.serve(usage.into()).await;
    lease.aborted |= lease.depth > 0 && result.is_err();
    result
}

fn failure(failure: unstale::source::ConnectionError) -> Failure {
    let class = match failure.class {
        unstale::ErrorClass::Disconnected | unstale::ErrorClass::OutcomeUnknown => Class::Dead,
        unstale::ErrorClass::Unavailable => Class::Exhausted,
        unstale::ErrorClass::RetryTransaction => Class::NoTransaction,
        unstale::ErrorClass::RetryStatement => Class::Busy,
        _ => Class::Mistake,
    };
    Failure::new(class, failure)
}
