//! Systems over the simulated source, and the library as the first of them.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use unstale::{Handle, Sessions};

use super::execute::execute;
use super::request::{Statement, value_in};
use super::source::{Network, Order, Ordered, SimSource};
use super::world::World;
use crate::systems::unstale::{Running, Served, further, policy};
use unstale_harness::Local;
use unstale_harness::chain::Subject;
use unstale_harness::erased::{self, Started};
use unstale_harness::history::{Event, Failure, History, Reply, Report, What};
use unstale_harness::limits::Limits;
use unstale_harness::plan::{Command, Key, Plan, Storage, Usage, Value};
use unstale_harness::stage::along;
use unstale_harness::system::{Capabilities, Capability, Extension, Port};

/// A system over a simulated source. As [`System`](unstale_harness::system::System), in a world instead of on a database.
pub trait Simulated: Sized + 'static {
    /// Its name, as given to `--system`.
    const NAME: &'static str;

    /// What it can do.
    fn capabilities() -> Capabilities;

    /// Starts in this world.
    fn start(world: &World, plan: &Plan) -> Self;

    /// Begins what the plan happens in, a fixture for one.
    ///
    /// # Errors
    /// An error here ends the plan as `Inconclusive`: nothing was tried.
    ///
    /// # Cancel safety
    /// The future is dropped when it does not end.
    fn begin(&self, plan: &Plan) -> impl Future<Output = Result<(), Failure>> {
        let _ = plan;
        std::future::ready(Ok(()))
    }

    /// Runs one actor until its port has no more commands.
    ///
    /// # Cancel safety
    /// The future is dropped when a command hangs.
    fn actor(&self, port: Port) -> impl Future<Output = ()>;

    /// What it says of itself.
    ///
    /// # Cancel safety
    /// The future is dropped when it does not end.
    fn report(&self) -> impl Future<Output = Report>;

    /// Gives everything back.
    ///
    /// # Cancel safety
    /// As [`Simulated::report`].
    fn stop(&self) -> impl Future<Output = ()>;
}

/// How a simulated system starts.
pub(super) type Starter = erased::Starter<World>;

/// The way of this type.
pub(super) fn starter<S: Simulated>() -> Starter {
    Starter { capabilities: S::capabilities(), start: |world, plan| Box::pin(start::<S>(world, plan)) }
}

async fn start<S: Simulated>(world: &World, plan: &Plan) -> Result<Box<dyn Started>, Failure> {
    let system = S::start(world, plan);
    system.begin(plan).await?;
    Ok(Box::new(Erased(system)))
}

/// A simulated system with its type forgotten.
struct Erased<S>(S);

impl<S: Simulated> Started for Erased<S> {
    fn actor(&self, port: Port) -> Local<'_, ()> {
        Box::pin(self.0.actor(port))
    }

    fn report(&self) -> Local<'_, Report> {
        Box::pin(self.0.report())
    }

    fn stop(&self) -> Local<'_, ()> {
        Box::pin(self.0.stop())
    }
}

/// The subject that a simulated system's type makes.
pub struct SimulatedSystem<S>(PhantomData<fn() -> S>);

impl<S> SimulatedSystem<S> {
    /// The subject of this type.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<S> Default for SimulatedSystem<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Simulated> Subject for SimulatedSystem<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn capabilities(&self) -> Capabilities {
        S::capabilities()
    }

    fn extension(&self) -> Option<&'static dyn Extension> {
        None
    }

    /// The limits do not apply: nothing takes time here.
    fn execute(&self, plan: &Plan, _: &Limits) -> History {
        sometimes_twice(starter::<S>(), plan)
    }
}

fn sometimes_twice(starter: Starter, plan: &Plan) -> History {
    static PLANS: AtomicU64 = AtomicU64::new(0);
    let history = execute(starter, plan, &mut along(&plan.schedule));
    if PLANS.fetch_add(1, Ordering::Relaxed).is_multiple_of(TWICE_EVERY) {
        return same_again(history, &execute(starter, plan, &mut along(&plan.schedule)));
    }
    history
}

/// One plan in this many is run twice, to see that nothing but the plan decides what happens.
const TWICE_EVERY: u64 = 100;

/// Returns the history, with a harness fault if the second run differs.
fn same_again(mut history: History, second: &History) -> History {
    if history != *second {
        let at = history.events.iter().zip(&second.events).position(|(one, other)| one != other);
        let why = format!("two runs of the same plan differ from event {at:?} on");
        history.events.push(Event { by: None, what: What::HarnessFault(why) });
    }
    history
}

/// The library over the simulated database. The plan's storage decides what its connections are like.
pub enum Unstale {
    /// Behind a network.
    Network(Running<SimSource<Network>>),
    /// In one process with it.
    Ordered(Running<SimSource<Ordered>>),
}

impl Simulated for Unstale {
    const NAME: &'static str = "unstale-sim";

    fn capabilities() -> Capabilities {
        Capabilities::sqlite()
            .without(Capability::RawSql)
            .and(Capabilities::services())
            .and(further())
            .and(Capabilities::simulation())
    }

    fn start(world: &World, plan: &Plan) -> Self {
        match plan.storage {
            Storage::Sim => Self::Network(Running::over(sessions(world, plan), world.build_recorder())),
            _ => Self::Ordered(Running::over(sessions(world, plan), world.build_recorder())),
        }
    }

    async fn begin(&self, plan: &Plan) -> Result<(), Failure> {
        match self {
            _ if !plan.fixture => Ok(()),
            Self::Network(running) => running.begin_test().await,
            Self::Ordered(running) => running.begin_test().await,
        }
    }

    async fn actor(&self, port: Port) {
        match self {
            Self::Network(running) => running.actor(port).await,
            Self::Ordered(running) => running.actor(port).await,
        }
    }

    async fn report(&self) -> Report {
        match self {
            Self::Network(running) => running.report().await,
            Self::Ordered(running) => running.report().await,
        }
    }

    async fn stop(&self) {
        match self {
            Self::Network(running) => running.stop().await,
            Self::Ordered(running) => running.stop().await,
        }
    }
}

fn sessions<O: Order>(world: &World, plan: &Plan) -> Sessions<SimSource<O>> {
    let policy = policy(plan.connections);
    let only = plan.storage == Storage::SimOnly;
    let source = SimSource::new(world.clone(), policy.sessions_max, only, policy.probe_idle_after);
    Sessions::new(source, policy).expect("the defaults hold together")
}

impl<O: Order> Served for SimSource<O> {
    async fn statement(handle: &Handle<Self>, command: &Command, port: &mut Port) {
        if let Some(statement) = Statement::of(command) {
            port.ask(handle.serve(statement), Reply::clone).await;
        }
    }

    async fn stale(handle: &Handle<Self>, usage: Usage) -> Result<Reply, Failure> {
        Ok(handle.serve(Statement::from(usage)).await?)
    }

    async fn get_for_update(handle: &Handle<Self>, key: Key) -> Result<Option<Value>, Failure> {
        value_in(&handle.serve(Statement::GetForUpdate(key)).await?)
    }
}
