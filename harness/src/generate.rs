//! Generation: draws plans from a profile.
//!
//! Owns the [`Profile`] and the drawing; the kinds of commands with their weights, and the [`Order`]s of schedules, have
//! files of their own.
//! Model-guided: an actor is given only commands that may apply where it stands ([`Standing`]). Swarm: each plan draws
//! which kinds of commands it knows at all, how large it is and how often it cancels, so that some plans are made of
//! little else than what others lack (Groce et al., *Swarm testing*, ISSTA 2012).
//!
//! With proptest, [`plans`] is an ordinary hand-written strategy. It only generates: `check!` shrinks with
//! [`crate::shrink`], since proptest's own shrinker would take any failure for the same one.

mod kinds;
mod schedule;

use std::fmt;

use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};
use serde::Deserialize;

pub use kinds::Kind;
use kinds::{TABLE, WEIGHTS, needed_for};
pub use schedule::Order;
use schedule::schedule;

use crate::model::{Standing, UNKNOWNS_MAX};
use crate::plan::{
    Actor, Backend, BeginMode, Command, Conflict, Fault, Key, Phase, Plan, Residue, Service, StaleUse, Step, Storage,
    Wanted,
};
use crate::system::{Capabilities, Capability, Extension};

/// What plans are drawn from.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// The most actors of a plan.
    pub actors: u8,
    /// The most commands of an actor.
    pub steps: u8,
    /// The most connections that the system is given.
    pub connections: u8,
    /// The most keys.
    pub keys: u8,
    /// Whether sizes are drawn up to the maxima, or are the maxima.
    pub full_size: bool,
    /// Whether commands are cancelled.
    pub cancels: bool,
    /// Whether faults are done to the database.
    pub faults: bool,
    /// Whether these may be done to the server itself; not to one that is somebody else's.
    pub server_faults: bool,
    /// Whether some plans happen inside a test fixture.
    pub fixtures: bool,
    /// Kinds of commands that are never drawn.
    pub without: Vec<Kind>,
    /// Where the databases live.
    pub storage: Vec<StorageName>,
    /// How schedules are drawn.
    pub strategy: Order,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            actors: 3,
            steps: 8,
            connections: 3,
            keys: 3,
            full_size: false,
            cancels: true,
            faults: true,
            server_faults: true,
            fixtures: true,
            without: Vec::new(),
            storage: vec![StorageName::Wal, StorageName::Journal, StorageName::Wal, StorageName::Memory],
            strategy: Order::Mixed,
        }
    }
}

/// A storage, as a profile names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageName {
    /// [`Storage::Wal`].
    Wal,
    /// [`Storage::Journal`].
    Journal,
    /// [`Storage::Memory`].
    Memory,
}

impl From<StorageName> for Storage {
    fn from(name: StorageName) -> Self {
        match name {
            StorageName::Wal => Self::Wal,
            StorageName::Journal => Self::Journal,
            StorageName::Memory => Self::Memory,
        }
    }
}

/// How often a step of a plan is cancelled or faulted, in sixteenths. Half of the plans have none of either, since a step
/// that was cut off keeps what follows it from being tried.
const RATES: [u32; 4] = [0, 0, 2, 3];

/// Draws one plan.
pub fn generate(
    profile: &Profile,
    capabilities: Capabilities,
    extension: Option<&dyn Extension>,
    random: &mut impl Rng,
) -> Plan {
    let mut draw = Draw { random };
    let actors = draw.size(profile.actors, profile.full_size);
    let about_services = capabilities.has(Capability::Registry) && draw.chance(8);
    let table = Table::draw(profile, capabilities, about_services, &mut draw);
    let rate = |on: bool, draw: &mut Draw<'_, _>| if on { *draw.one(&RATES) } else { 0 };
    // Drawn first, since it decides which faults there are.
    let elsewhere = match capabilities.backend() {
        Backend::Sqlite => None,
        Backend::Postgres => Some(Storage::Postgres),
        Backend::Sim => Some(*draw.one(&Storage::SIMULATED)),
    };
    let fixture = profile.fixtures && capabilities.has(Capability::Fixture) && draw.chance(4);
    let fixture = fixture && elsewhere.is_none_or(Storage::is_ordered);
    let mut wanted = [Wanted::One(Service::Report); 2];
    if capabilities.has(Capability::Registry) {
        wanted.fill_with(|| *draw.one(&Wanted::ALL));
    }
    let mut drawing = Drawing {
        capabilities,
        faults: match elsewhere {
            // Which of them it is is drawn last, and the same can be done to all.
            None => Storage::Wal.faults(),
            Some(Storage::Postgres) if !profile.server_faults => Fault::postgres_discreet(),
            Some(storage) => storage.faults(),
        },
        server_wide: elsewhere == Some(Storage::Postgres) && profile.server_faults && draw.chance(1),
        extension,
        nests: table.has(Kind::Nest),
        table,
        keys: u32::from(profile.keys.clamp(1, 200)),
        cancel_rate: rate(profile.cancels && capabilities.has(Capability::Cancellation), &mut draw),
        fault_rate: rate(profile.faults && !fixture && capabilities.has(Capability::Faults), &mut draw),
        fixture,
        wanted,
        disturbances_left: UNKNOWNS_MAX,
        next_value: 1,
        pool_open: true,
    };
    let actors: Vec<Actor> = (0..actors)
        .map(|_| {
            // The larger of two: short actors are cheap, but seldom long enough for anything to go wrong in.
            let steps = draw.size(profile.steps, profile.full_size).max(draw.size(profile.steps, profile.full_size));
            drawing.actor(steps, &mut draw)
        })
        .collect();
    let storage = elsewhere.unwrap_or_else(|| {
        profile.storage.get(draw.below_len(profile.storage.len())).map_or(Storage::Wal, |it| (*it).into())
    });
    let connections = draw.size(profile.connections, false);
    let schedule = schedule(&actors, profile.strategy, &mut draw);
    Plan { storage, connections, fixture, actors, schedule }
}

/// The generator of the *n*-th plan of a seed. Platforms agree on it.
pub fn random_for(seed: u64, plan: u64) -> Xoshiro256PlusPlus {
    // The golden ratio's bits spread neighbouring plans over the seeds.
    Xoshiro256PlusPlus::seed_from_u64(seed ^ plan.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Plans for a system with these capabilities, as a proptest strategy that only generates.
pub fn plans(profile: Profile, capabilities: Capabilities, extension: Option<&'static dyn Extension>) -> Plans {
    Plans { profile, capabilities, extension }
}

/// See [`plans`].
#[derive(Clone)]
pub struct Plans {
    profile: Profile,
    capabilities: Capabilities,
    extension: Option<&'static dyn Extension>,
}

impl fmt::Debug for Plans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plans").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl Strategy for Plans {
    type Tree = Drawn;
    type Value = Plan;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        Ok(Drawn(generate(&self.profile, self.capabilities, self.extension, runner.rng())))
    }
}

/// A plan that was drawn; it does not simplify.
#[derive(Clone, Debug)]
pub struct Drawn(Plan);

impl ValueTree for Drawn {
    type Value = Plan;

    fn current(&self) -> Plan {
        self.0.clone()
    }

    fn simplify(&mut self) -> bool {
        false
    }

    fn complicate(&mut self) -> bool {
        false
    }
}

struct Draw<'a, R> {
    random: &'a mut R,
}

impl<R: Rng> Draw<'_, R> {
    /// A number below `bound`, which is small: the bias of the multiplication is below 2⁻²⁴.
    fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(self.random.next_u32()) * u64::from(bound);
        u32::try_from(wide >> 32).unwrap_or(0)
    }

    fn below_len(&mut self, len: usize) -> usize {
        self.below(u32::try_from(len).unwrap_or(u32::MAX)) as usize
    }

    fn one<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below_len(all.len())]
    }

    fn chance(&mut self, sixteenths: u32) -> bool {
        self.below(16) < sixteenths
    }

    fn size(&mut self, max: u8, full: bool) -> u8 {
        let max = max.max(1);
        if full { max } else { u8::try_from(self.below(u32::from(max))).unwrap_or(0) + 1 }
    }
}

/// The kinds that one plan knows, each as often as it weighs: those that may apply to an actor without a session, and
/// those that may apply with one. Drawing from one table for both would mostly draw in vain where there is no session.
struct Table {
    outside: Weighted,
    inside: Weighted,
}

struct Weighted {
    kinds: [Kind; TABLE],
    len: usize,
}

impl Weighted {
    const EMPTY: Self = Self { kinds: [Kind::Open; TABLE], len: 0 };

    fn add(&mut self, kind: Kind, weight: u8) {
        let end = self.len + usize::from(weight);
        self.kinds[self.len..end].fill(kind);
        self.len = end;
    }
}

impl Table {
    /// With many kinds of statements between them, changes of a registry and what should show them seldom meet: so some plans
    /// know few others.
    fn draw(
        profile: &Profile,
        capabilities: Capabilities,
        about_services: bool,
        draw: &mut Draw<'_, impl Rng>,
    ) -> Self {
        let mut table = Self { outside: Weighted::EMPTY, inside: Weighted::EMPTY };
        for (kind, weight, chance) in WEIGHTS {
            let able = needed_for(kind).is_none_or(|it| capabilities.has(it));
            let aside = about_services && !kind.is_about_services();
            let chance = if aside { chance / 4 } else { chance };
            if able && !profile.without.contains(&kind) && draw.chance(chance) {
                if kind.outside() {
                    table.outside.add(kind, weight);
                }
                if kind.inside() {
                    table.inside.add(kind, weight);
                }
            }
        }
        table
    }

    fn has(&self, kind: Kind) -> bool {
        self.inside.kinds[..self.inside.len].contains(&kind)
    }
}

/// One plan while it is drawn.
struct Drawing<'a> {
    capabilities: Capabilities,
    faults: &'static [Fault],
    /// Whether it has a server of its own.
    server_wide: bool,
    extension: Option<&'a dyn Extension>,
    nests: bool,
    table: Table,
    keys: u32,
    cancel_rate: u32,
    fault_rate: u32,
    fixture: bool,
    /// The services that the plan asks for: of few, each is met more than once.
    wanted: [Wanted; 2],
    /// Each may leave an outcome unknown, and more of these than the oracle follows would show nothing.
    disturbances_left: u32,
    next_value: u32,
    pool_open: bool,
}

impl Drawing<'_> {
    fn actor(&mut self, steps: u8, draw: &mut Draw<'_, impl Rng>) -> Actor {
        let mut standing = Standing::default();
        let steps = (0..steps)
            .map(|at| {
                let step = self.step(standing, steps - at, draw);
                // A command that the model refuses here would be a mistake of the table above; it is drawn as `open`.
                let taken = standing.take(&step, self.capabilities);
                debug_assert_eq!(taken, Ok(()), "drew `{step}`");
                step
            })
            .collect();
        Actor { steps }
    }

    fn step(&mut self, standing: Standing, left: u8, draw: &mut Draw<'_, impl Rng>) -> Step {
        // A transaction that nobody ends shows little: what was done in it may be there or not.
        let end = if standing.depth >= left && draw.chance(12) { self.end(standing, draw) } else { None };
        // All this began with a handle that outlives its session: one that does is used.
        let stale = standing.outlived && self.table.has(Kind::Stale) && draw.chance(6);
        let stale = stale.then(|| self.command_of(Kind::Stale, standing, draw));
        let command = end.or(stale).unwrap_or_else(|| self.command(standing, draw));
        let mut step = Step::from(command);
        if self.disturbances_left == 0 {
            return step;
        }
        if draw.chance(self.fault_rate) && !matches!(step.command, Command::Close | Command::ClosePool) {
            // A plan that restarts a server does it more than once, since it has paid for one of its own.
            let wide = self.server_wide && draw.chance(8);
            let fault = *draw.one(if wide { Fault::server_wide() } else { self.faults });
            let able = !fault.costs_connection() || self.capabilities.has(Capability::ConnectionLoss);
            step.fault = able.then_some(fault);
        }
        if draw.chance(self.cancel_rate) {
            let by_poll = self.capabilities.has(Capability::Polls) && draw.chance(8);
            step.cancel = Some(if by_poll {
                Phase::Poll(1 + u8::try_from(draw.below(8)).unwrap_or(0))
            } else {
                *draw.one(&Phase::ALL)
            });
        }
        self.disturbances_left -= u32::from(step.fault.is_some() || step.cancel.is_some());
        step
    }

    /// One of the ends of a transaction that the plan knows.
    fn end(&mut self, standing: Standing, draw: &mut Draw<'_, impl Rng>) -> Option<Command> {
        let ends = [Kind::Commit, Kind::Rollback, Kind::Drop, Kind::Close];
        let known = || ends.into_iter().filter(|it| self.table.has(*it));
        let kind = known().nth(draw.below_len(known().count()))?;
        Some(self.command_of(kind, standing, draw))
    }

    /// A kind that applies is soon hit; where the plan knows none, the actor opens, or writes.
    fn command(&mut self, standing: Standing, draw: &mut Draw<'_, impl Rng>) -> Command {
        for _ in 0..12 {
            let table = if standing.session { &self.table.inside } else { &self.table.outside };
            if table.len == 0 {
                break;
            }
            let kind = table.kinds[draw.below_len(table.len)];
            if self.applies(kind, standing) {
                return self.command_of(kind, standing, draw);
            }
        }
        let kind = if standing.session { Kind::Put } else { Kind::Open };
        self.command_of(kind, standing, draw)
    }

    fn applies(&self, kind: Kind, standing: Standing) -> bool {
        match kind {
            Kind::Open => !standing.session,
            Kind::ClosePool => !standing.session && self.pool_open,
            Kind::Extra => true,
            Kind::Stale => standing.retained,
            Kind::Restore => standing.overrides > 0,
            Kind::Crash => standing.session || standing.overrides > 0,
            Kind::Resolve | Kind::Override | Kind::Invalidate | Kind::WarmUp | Kind::Fork => true,
            _ if !standing.session => false,
            Kind::Begin => standing.depth == 0,
            Kind::Nest => (1..3).contains(&standing.depth),
            Kind::BeginExplicit => standing.depth == 0 || self.nests && standing.depth < 3,
            Kind::Commit | Kind::Rollback | Kind::Drop => standing.depth > 0,
            Kind::RawBegin => standing.depth == 0,
            _ => true,
        }
    }

    fn command_of(&mut self, kind: Kind, standing: Standing, draw: &mut Draw<'_, impl Rng>) -> Command {
        match kind {
            Kind::Open => Command::Open,
            Kind::Close => Command::Close,
            Kind::Begin | Kind::Nest => Command::Begin(BeginMode::Plain),
            Kind::BeginExplicit => Command::Begin(*draw.one(&[BeginMode::Immediate, BeginMode::Exclusive])),
            Kind::Commit => Command::Commit,
            Kind::Rollback => Command::Rollback,
            Kind::Drop => Command::Drop,
            Kind::Put => Command::Put(self.key(draw), self.value()),
            Kind::Insert => Command::Insert(self.key(draw), self.value(), Conflict::Abort),
            Kind::ConflictClause => {
                let mut clause =
                    *draw.one(&[Conflict::Ignore, Conflict::Replace, Conflict::Rollback, Conflict::Rollback]);
                if self.fixture && clause == Conflict::Rollback {
                    clause = Conflict::Abort;
                }
                Command::Insert(self.key(draw), self.value(), clause)
            }
            Kind::Get => Command::Get(self.key(draw)),
            Kind::Delete => Command::Delete(self.key(draw)),
            Kind::Scan => Command::Scan,
            Kind::Stream => Command::Stream(u8::try_from(draw.below(3)).unwrap_or(0)),
            Kind::Fail => Command::Fail,
            Kind::Slow => Command::Slow,
            Kind::RawBegin => Command::Raw(Residue::Transaction),
            Kind::RawSetting => Command::Raw(Residue::Setting),
            Kind::RawTempTable => Command::Raw(Residue::TempTable),
            Kind::RawLock => Command::Raw(Residue::Lock),
            Kind::Inspect => Command::Inspect,
            Kind::Retain => Command::Retain,
            Kind::Stale if draw.chance(8) => Command::Stale(StaleUse::Get(self.key(draw))),
            Kind::Stale => Command::Stale(StaleUse::Put(self.key(draw), self.value())),
            Kind::ClosePool => {
                self.pool_open = false;
                Command::ClosePool
            }
            Kind::Resolve => {
                let wanted = *draw.one(&self.wanted);
                let had = standing.session || !wanted.needs_session();
                Command::Resolve(if had { wanted } else { Wanted::One(Service::Mailer) })
            }
            Kind::Override => Command::Override(self.part_of_wanted(&Service::REPLACEABLE, draw)),
            Kind::Restore => Command::Restore,
            Kind::Invalidate => Command::Invalidate(self.part_of_wanted(&Service::ALL, draw)),
            Kind::WarmUp => Command::WarmUp,
            Kind::Fork => Command::Fork,
            Kind::Replace => Command::Replace,
            Kind::Crash => Command::Crash,
            Kind::Extra => {
                let words = self.extension.map(|it| it.generate(&mut |bound| draw.below(bound)));
                Command::Extra(words.unwrap_or_default().into())
            }
        }
    }

    /// One of these services that something wanted is made from, or any if nothing is.
    fn part_of_wanted(&self, services: &[Service], draw: &mut Draw<'_, impl Rng>) -> Service {
        let concerns = |it: &&Service| self.wanted.iter().any(|wanted| wanted.depends_on(**it));
        let count = services.iter().filter(concerns).count();
        let one = services.iter().filter(concerns).nth(draw.below_len(count));
        *one.unwrap_or_else(|| draw.one(services))
    }

    fn key(&mut self, draw: &mut Draw<'_, impl Rng>) -> Key {
        Key(u8::try_from(draw.below(self.keys)).unwrap_or(0) + 1)
    }

    fn value(&mut self) -> u32 {
        self.next_value += 1;
        self.next_value - 1
    }
}
