//! The control's connection to the simulated database, and the control as a simulated system.
//!
//! The control itself is [`crate::systems::control`]: any alarm on it in here is a defect of the simulation.

use std::marker::PhantomData;
use std::time::Duration;

use unstale::Begin;
use unstale::source::{Connection as _, Control as Statements, Serve};

use super::request::{Statement, value_in};
use super::source::{Ordered, SimConnection};
use super::system::Simulated;
use super::world::World;
use crate::systems::control::{Boundary, Connection, Control, Shared, Sound, Source, Spec};
use unstale_harness::history::{Failure, FailureClass, Reply, Report};
use unstale_harness::plan::{Command, Key, Plan, Value};
use unstale_harness::system::{Capabilities, Capability, Port};

/// The control in the simulation.
pub type SimControl<V = Sound> = Control<Simulation, V>;

/// Opens connections in a world.
pub struct Simulation(World);

impl<V: Spec> Simulated for SimControl<V> {
    const NAME: &'static str = Self::SYSTEM;

    fn capabilities() -> Capabilities {
        Self::able()
    }

    fn start(world: &World, plan: &Plan) -> Self {
        Self(Shared::new(Simulation(world.clone()), plan.connections, world.build_recorder(), V::FLAW), PhantomData)
    }

    fn actor(&self, port: Port) -> impl Future<Output = ()> {
        self.0.actor(port)
    }

    async fn report(&self) -> Report {
        self.0.report()
    }

    fn stop(&self) -> impl Future<Output = ()> {
        self.0.stop()
    }
}

impl Source for Simulation {
    type Connection = SimConnection<Ordered>;

    const NAME: &'static str = "control-sim";
    const CALL_MAX: Option<Duration> = None;
    /// Opening exchanges nothing with the server.
    const OPENING_ANSWERS: bool = false;

    fn capabilities() -> Capabilities {
        let further = [Capability::Retention, Capability::Sharing, Capability::Autonomous, Capability::Swaps];
        Capabilities::sqlite().and(Capabilities::simulation()).and(Capabilities::of(further))
    }

    async fn connect(&self) -> Result<SimConnection<Ordered>, Failure> {
        SimConnection::open(&self.0).await.map_err(failure)
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Where the runtime has ended, the task is dropped, and its connection closed with it.
        self.0.spawn(Box::pin(task));
    }
}

impl Connection for SimConnection<Ordered> {
    async fn answer(&mut self, command: &Command) -> Result<Reply, Failure> {
        match Statement::of(command) {
            Some(statement) => self.serve(statement).await.map_err(failure),
            None => Ok(Reply::Done),
        }
    }

    async fn get_for_update(&mut self, key: Key) -> Result<Option<Value>, Failure> {
        value_in(&self.serve(Statement::GetForUpdate(key)).await.map_err(failure)?)
    }

    async fn cross(&mut self, boundary: Boundary) -> Result<(), Failure> {
        let statement = match boundary {
            Boundary::Begin(_) => Statements::Begin(Begin::default()),
            Boundary::Commit => Statements::Commit,
            Boundary::Rollback => Statements::Rollback,
            Boundary::Savepoint(depth) => Statements::Savepoint(depth),
            Boundary::Release(depth) => Statements::Release(depth),
            Boundary::RollbackTo(depth) => Statements::RollbackTo(depth),
        };
        self.control(statement).await.map_err(|refused| match (boundary, failure(refused)) {
            // A rollback is refused only where nothing is open.
            (Boundary::Rollback, Failure { class: FailureClass::Mistake, message }) => {
                Failure { class: FailureClass::NoTransaction, message }
            }
            (_, failure) => failure,
        })
    }

    async fn probe(&mut self) -> Result<(), Failure> {
        unstale::source::Connection::probe(self).await.map_err(failure)
    }

    async fn close(self) {
        drop(self);
    }

    async fn abandon(self) {
        drop(self);
    }
}

fn failure(failure: unstale::source::ConnectionError) -> Failure {
    let class = match failure.class {
        unstale::ErrorClass::Disconnected | unstale::ErrorClass::OutcomeUnknown => FailureClass::Dead,
        unstale::ErrorClass::Unavailable => FailureClass::Exhausted,
        unstale::ErrorClass::RetryTransaction => FailureClass::NoTransaction,
        unstale::ErrorClass::RetryStatement => FailureClass::Busy,
        _ => FailureClass::Mistake,
    };
    Failure::new(class, failure)
}
