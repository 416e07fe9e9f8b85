//! The plan: one complete test case, as a plain value.
//!
//! Owns the alphabet ([`Command`]), what is done to a command ([`Phase`] of a cancel, [`Fault`]) and the
//! [`Schedule`]. Everything that runs, shrinks or reports takes a plan and nothing else: there are no handles,
//! clocks or generator state in here. How a plan is written down is in [`mod@file`] (TOML outside) and
//! [`text`] (one-line steps inside); which plans make sense is [`crate::model::admissible`]. The services that commands ask
//! a registry for are in [`service`].

mod fault;
pub mod file;
pub mod service;
mod storage;
pub mod text;

pub use fault::Fault;
pub use file::{Expectation, PlanError, PlanFile, VERSION};
pub use service::{Build, Service, Wanted};
pub use storage::{Backend, IsolationModel, Storage};
pub use unstale_wire::{Moment, NetworkFault, ServerFault};

use std::fmt;

/// The most actors that a plan may have; they are named `a`, `b`, `c` …
pub const ACTORS_MAX: usize = 8;

/// The most connections that a plan may give to the system.
pub const CONNECTIONS_MAX: u8 = 8;

/// One complete test case: what every actor does, what is done to it, and in which order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Where the database of this plan lives.
    pub storage: Storage,
    /// How many connections the system may have open at once.
    pub connections: u8,
    /// Whether all of it happens inside a test fixture, which undoes it at the end.
    pub fixture: bool,
    /// The logical tasks, in the order of their names.
    pub actors: Vec<Actor>,
    /// The order in which actors pass their gates.
    pub schedule: Schedule,
}

impl Plan {
    /// The number of commands of all actors.
    pub fn commands(&self) -> usize {
        self.actors.iter().map(|actor| actor.steps.len()).sum()
    }

    /// Whether it needs a PostgreSQL server of its own, since it does something to the whole of one.
    pub fn owns_server(&self) -> bool {
        self.steps().any(|(_, _, step)| step.fault.is_some_and(Fault::is_server_wide))
    }

    /// Everybody's commands, by actor and index.
    pub fn places(&self) -> Vec<(ActorId, usize)> {
        self.steps().map(|(actor, at, _)| (actor, at)).collect()
    }

    /// All steps, with the actor and the index that name them.
    pub fn steps(&self) -> impl Iterator<Item = (ActorId, usize, &Step)> {
        self.actors.iter().enumerate().flat_map(|(actor, it)| {
            let id = ActorId::new(actor);
            it.steps.iter().enumerate().map(move |(at, step)| (id, at, step))
        })
    }
}

/// One logical task of a plan: the commands that it runs, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actor {
    /// The commands in their order.
    pub steps: Vec<Step>,
}

/// The name of an actor: its place in the plan, printed as a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(u8);

impl ActorId {
    /// The actor at this place of [`Plan::actors`].
    ///
    /// # Panics
    /// If the place is 26 or more: there is no letter for it.
    pub fn new(index: usize) -> Self {
        Self(u8::try_from(index).ok().filter(|it| *it < 26).expect("an actor has a letter"))
    }

    /// The place in [`Plan::actors`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(b'a' + self.0))
    }
}

/// A command, and what is done to it while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// What the actor asks of the system.
    pub command: Command,
    /// Where the command's future is dropped, if it is.
    pub cancel: Option<Phase>,
    /// What is done to the database while the command runs.
    pub fault: Option<Fault>,
}

impl From<Command> for Step {
    fn from(command: Command) -> Self {
        Self { command, cancel: None, fault: None }
    }
}

/// A row's key in the core workload. `k0` belongs to the observers that run after a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u8);

impl Key {
    /// The key that only the observers write.
    pub const OBSERVER: Self = Self(0);
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "k{}", self.0)
    }
}

/// A row's value in the core workload. Generated plans write each value once, so a value names its writer.
pub type Value = u32;

/// The alphabet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Opens the actor's session.
    Open,
    /// Gives the session back; a transaction that is still open is dropped first.
    Close,
    /// Begins a transaction; inside one, a nested transaction.
    Begin(BeginMode),
    /// Commits the innermost transaction.
    Commit,
    /// Rolls the innermost transaction back.
    Rollback,
    /// Drops the innermost transaction without ending it.
    Drop,
    /// Writes the value, whether or not the key is there.
    Put(Key, Value),
    /// Inserts a row; the conflict clause says what happens if the key is there.
    Insert(Key, Value, Conflict),
    /// Reads one key.
    Get(Key),
    /// Deletes one key.
    Delete(Key),
    /// Reads every key.
    Scan,
    /// Opens a stream over every row and drops it after this many.
    Stream(u8),
    /// A statement that fails by its own fault and changes nothing.
    Fail,
    /// A statement that takes long.
    Slow,
    /// SQL that goes around the system and leaves residue on the connection.
    Raw(Residue),
    /// Reads what a session can see of residue.
    Inspect,
    /// Keeps a handle to the session, for use after its end.
    Retain,
    /// Uses the retained handle.
    Stale(StaleUse),
    /// Closes the whole pool.
    ClosePool,
    /// Asks the registry for a service.
    Resolve(Wanted),
    /// Lets something else stand in for a service, for as long as the actor keeps the guard.
    Override(Service),
    /// Gives up the guard that was got last.
    Restore,
    /// Lets a service, and all that is made from it, be built anew.
    Invalidate(Service),
    /// Builds what lives for ever.
    WarmUp,
    /// Goes on with a registry of the actor's own, as a test does that others must not notice.
    Fork,
    /// Replaces the session by a fresh one, as a fixture does; what is open in it is rolled back.
    Replace,
    /// The unit of work panics: its session, its guards and its own registry go by being unwound.
    Crash,
    /// A command of the system's [extension](crate::system::Extension), in its own words.
    Extra(Box<str>),
}

impl Command {
    /// What it does to one row, for a plain `put` or `get`: the same that can be done through a retained handle.
    pub fn usage(&self) -> Option<StaleUse> {
        match *self {
            Self::Put(key, value) => Some(StaleUse::Put(key, value)),
            Self::Get(key) => Some(StaleUse::Get(key)),
            _ => None,
        }
    }
}

/// How a transaction is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BeginMode {
    /// The system's own statement.
    Plain,
    /// An explicit statement: `BEGIN IMMEDIATE`.
    Immediate,
    /// An explicit statement: `BEGIN EXCLUSIVE`.
    Exclusive,
}

/// SQLite's conflict clauses. `OR ROLLBACK` ends the transaction by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// The statement fails (the default of SQL).
    Abort,
    /// The statement does nothing.
    Ignore,
    /// The row is replaced.
    Replace,
    /// The statement fails and its transaction is rolled back.
    Rollback,
}

/// What raw SQL leaves behind on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Residue {
    /// `BEGIN`, behind the system's back.
    Transaction,
    /// A connection-wide setting.
    Setting,
    /// A temporary table.
    TempTable,
    /// A lock that belongs to the connection, where the database has such.
    Lock,
}

impl Residue {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Transaction, Self::Setting, Self::TempTable, Self::Lock];
}

/// What is done with a retained handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StaleUse {
    /// Reads through it.
    Get(Key),
    /// Writes through it.
    Put(Key, Value),
}

/// Where a command's future is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before its first poll: nothing has been sent.
    BeforeSend,
    /// Right after its first poll that had to wait: the request is under way.
    Sent,
    /// When it was woken for the first time, before it could look at the reply.
    BeforeReply,
    /// After this many polls that had to wait, counted from 1. Only where polls are deterministic: in the simulation.
    Poll(u8),
}

impl Phase {
    /// Every phase that has a name, in the order in which an operation passes them.
    pub const ALL: [Self; 3] = [Self::BeforeSend, Self::Sent, Self::BeforeReply];
}

/// The order in which actors pass their gates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Schedule(pub Vec<Turn>);

/// One entry of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Turn {
    /// Who runs.
    pub actor: ActorId,
    /// How far.
    pub until: Gate,
}

/// A point where the scheduler may switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// The end of the command. An entry `a`.
    Boundary,
    /// The reply is there and has not been looked at. An entry `a/`; a later `a` ends the command.
    Reply,
}

impl Schedule {
    /// Every actor runs to its end, one after the other.
    pub fn serial(actors: &[Actor]) -> Self {
        Self(
            actors
                .iter()
                .enumerate()
                .flat_map(|(actor, it)| {
                    let turn = Turn { actor: ActorId::new(actor), until: Gate::Boundary };
                    std::iter::repeat_n(turn, it.steps.len())
                })
                .collect(),
        )
    }

    /// How often the turn passes from one actor to another.
    pub fn switches(&self) -> usize {
        self.0.windows(2).filter(|pair| pair[0].actor != pair[1].actor).count()
    }
}
