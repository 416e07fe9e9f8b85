//! The model: which plans make sense, and what a history's replies claim.
//!
//! Owns the semantics of the alphabet. It is independent of every system: it never calls one and shares no state machine
//! with one. It reads only invocations and replies ([`Claims`]); evidence from below belongs to the oracle, which
//! compares the two. What is asked of a registry is in [`wiring`].
//!
//! Isolation: a read may return any value that was committed at some moment between its invocation and its return; in a
//! transaction its own writes come first. That is READ COMMITTED, as on PostgreSQL and in the simulation. On SQLite the
//! moment may be as early as the transaction's begin, for its snapshots. What is *not* modelled: that the reads of one
//! transaction come from one snapshot.
//!
//! Outcomes are three: done, definitely not done, unknown. Each unknown is one bit of an assignment, and the claims
//! are drawn up per assignment, so that a transaction of unknown outcome is applied whole or not at all.

mod admissible;
pub mod wiring;

pub use admissible::{Inadmissible, Standing, admissible};

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{By, ByCommand, History, Outcome, Reply, Span, What};
use crate::plan::{Actor, ActorId, Command, Key, Phase, Plan, Residue, Service, StaleUse, Step, Value, Wanted};
use crate::system::{Capabilities, Capability};

/// The most unknown outcomes that are followed both ways: 2⁶ = 64 branches.
pub const UNKNOWNS_MAX: u32 = 6;

/// The value that a command writes, if it writes one.
pub fn written(command: &Command) -> Option<(Key, Value)> {
    match *command {
        Command::Put(key, value) | Command::Insert(key, value, _) | Command::Stale(StaleUse::Put(key, value)) => {
            Some((key, value))
        }
        _ => None,
    }
}

/// The actors that look at the system after the plan: as many as there are connections, all at once, so that each
/// connection is borrowed again and one that was not given back is missed.
pub fn observers(plan: &Plan, capabilities: Capabilities) -> Vec<Actor> {
    let open = || Step::from(Command::Open);
    if plan.steps().any(|(_, _, step)| step.command == Command::ClosePool) {
        return vec![Actor { steps: vec![open()] }];
    }
    (0..u32::from(plan.connections))
        .map(|at| {
            let mut steps = vec![open()];
            if capabilities.has(Capability::Registry) {
                // It is made from almost everything else.
                steps.push(Command::Resolve(Wanted::One(Service::Report)).into());
            }
            if capabilities.has(Capability::RawSql) {
                steps.push(Command::Inspect.into());
            }
            steps.push(Command::Put(Key::OBSERVER, Value::MAX - at).into());
            steps.push(Command::Get(Key::OBSERVER).into());
            steps.push(Command::Close.into());
            Actor { steps }
        })
        .collect()
}

/// What a history's replies claim under one assignment of its unknown outcomes.
#[derive(Debug, Default)]
pub struct Claims {
    /// Work that is committed, by the system's own words.
    pub committed: Vec<Write>,
    /// Work that is not and never will be.
    pub dead: Vec<Dead>,
    /// What was read.
    pub reads: Vec<Read>,
    /// The sessions, in the order in which they were opened.
    pub sessions: Vec<Session>,
    /// The outermost transactions, in the order in which they ended.
    pub transactions: Vec<Transaction>,
    /// Single statements that changed something outside a transaction, as the system has it.
    pub autocommitted: Vec<Statement>,
    /// The commands that were invoked while their actor had a transaction of the system open.
    pub in_transaction: BTreeSet<By>,
    /// How many outcomes are unknown.
    pub unknowns: u32,
}

/// A committed write.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// Which command wrote it.
    pub by: By,
    /// Which row.
    pub key: Key,
    /// The value, or none for a delete.
    pub value: Option<Value>,
    /// The event after which it may be seen.
    pub from: usize,
    /// The event after which it must be seen.
    pub until: usize,
    /// Whether the assignment decided that it is committed.
    pub assumed: bool,
}

/// A write that must not be seen.
#[derive(Clone, Copy, Debug)]
pub struct Dead {
    /// Which command wrote it.
    pub by: By,
    /// Its value.
    pub value: Value,
    /// The event that says that it is undone: from here on nobody may see it.
    pub end: usize,
    /// Whether the assignment decided so.
    pub assumed: bool,
}

/// A value that was read, or its absence.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// Which command read it.
    pub by: By,
    /// Which row.
    pub key: Key,
    /// What it saw.
    pub seen: Option<Value>,
    /// What its own transaction had written there.
    pub own: Option<Option<Value>>,
    /// The first event whose state it may have seen.
    pub from: usize,
    /// The event of its reply.
    pub at: usize,
}

/// A session, as an actor has it.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Whose.
    pub actor: ActorId,
    /// The event that said it is open.
    pub opened: usize,
    /// The event from which on it is no more: its close was invoked, or its actor ended.
    pub ended: usize,
}

/// An outermost transaction.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// The event that ended it.
    pub end: usize,
    /// The writes that were done in it, at any depth, as the system has it.
    pub writes: Vec<By>,
}

/// A statement that changed a row outside a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// Which command.
    pub by: By,
    /// The event of its reply.
    pub at: usize,
}

impl Claims {
    /// Draws up the claims from the history and its commands; bit *n* of `assignment` says whether the *n*-th unknown outcome
    /// took effect.
    pub fn of(history: &History, spans: &ByCommand<Span<'_>>, assignment: u64) -> Self {
        let settled = history.events.iter().position(|it| it.what == What::PlanOver).unwrap_or(history.events.len());
        let mut keys: BTreeSet<Key> = spans.values().filter_map(|it| touched(&it.step.command)).collect();
        keys.remove(&Key::OBSERVER);
        let mut walk =
            Walk { history, assignment, settled, keys, claims: Self::default(), actors: BTreeMap::new(), bits: 0 };
        for (at, event) in history.events.iter().enumerate() {
            let Some(by) = event.by else { continue };
            match &event.what {
                What::Invoked(step) => {
                    if walk.place(by.actor).frames.iter().any(|it| !it.raw) {
                        walk.claims.in_transaction.insert(by);
                    }
                    if ends_session(&step.command) {
                        walk.end_session(by.actor, at);
                    }
                }
                What::Returned(outcome) => {
                    if let Some(span) = spans.get(by) {
                        walk.returned(by, at, span, outcome);
                    }
                }
                What::Ended | What::Panicked(_) | What::Hung => walk.gone(by.actor, at),
                _ => {}
            }
        }
        walk.claims.unknowns = walk.bits;
        walk.claims
    }
}

/// Whether there is a session once this is done.
pub(crate) fn opens_session(command: &Command) -> bool {
    matches!(command, Command::Open | Command::Replace)
}

/// Whether the session is no more from the moment when this is asked for.
pub(crate) fn ends_session(command: &Command) -> bool {
    matches!(command, Command::Close | Command::Replace | Command::Crash)
}

fn touched(command: &Command) -> Option<Key> {
    match *command {
        Command::Delete(key) | Command::Get(key) | Command::Stale(StaleUse::Get(key)) => Some(key),
        ref command => written(command).map(|(key, _)| key),
    }
}

struct Walk<'a> {
    history: &'a History,
    assignment: u64,
    /// The event by which everything that was cut off has either happened or not.
    settled: usize,
    keys: BTreeSet<Key>,
    claims: Claims,
    actors: BTreeMap<ActorId, Place>,
    bits: u32,
}

/// Where an actor stands, by the replies it has had.
#[derive(Default)]
struct Place {
    session: Option<usize>,
    retained: Option<usize>,
    frames: Vec<Frame>,
}

/// A transaction or savepoint that is open.
struct Frame {
    begun: usize,
    /// Begun by raw SQL: the system knows nothing of it, and only the end of the session ends it.
    raw: bool,
    /// A raw transaction in which something failed, or in which the system began its own: the database may have ended it, and
    /// nobody was told.
    uncertain: bool,
    writes: Vec<Pending>,
}

#[derive(Clone, Copy)]
struct Pending {
    by: By,
    key: Key,
    value: Option<Value>,
}

impl Walk<'_> {
    fn place(&mut self, actor: ActorId) -> &mut Place {
        self.actors.entry(actor).or_default()
    }

    /// Decides an unknown outcome by the assignment.
    fn decide(&mut self) -> bool {
        let bit = self.assignment >> self.bits.min(63) & 1;
        self.bits += 1;
        bit == 1
    }

    fn returned(&mut self, by: By, at: usize, span: &Span<'_>, outcome: &Outcome) {
        let done = matches!(outcome, Outcome::Done(_));
        let unknown = match outcome {
            Outcome::Done(_) => false,
            Outcome::Failed(failure) => failure.class.is_unknown(),
            Outcome::Cancelled(phase) => *phase != Phase::BeforeSend,
        };
        if !done {
            self.doubt(by.actor, at);
        }
        match &span.step.command {
            command if done && opens_session(command) => {
                self.drop_frames(by.actor, at);
                let session = Session { actor: by.actor, opened: at, ended: self.history.events.len() };
                self.claims.sessions.push(session);
                let id = self.claims.sessions.len() - 1;
                self.place(by.actor).session = Some(id);
            }
            Command::Close | Command::Replace | Command::Crash => self.drop_frames(by.actor, at),
            Command::Begin(_) if done => {
                // SQLite refuses it inside a raw transaction. PostgreSQL warns, and the next end ends everything.
                self.doubt(by.actor, at);
                let frame = Frame { begun: span.invoked, raw: false, uncertain: false, writes: Vec::new() };
                self.place(by.actor).frames.push(frame);
            }
            Command::Raw(Residue::Transaction) if self.place(by.actor).frames.is_empty() => {
                if done || unknown && self.decide() {
                    let frame = Frame { begun: span.invoked, raw: true, uncertain: false, writes: Vec::new() };
                    self.place(by.actor).frames.push(frame);
                }
            }
            Command::Commit => self.commit(by.actor, span.invoked, at, done, unknown),
            Command::Rollback | Command::Drop => {
                if let Some(frame) = self.pop(by.actor) {
                    self.bury(by.actor, frame, at, false);
                }
            }
            Command::Retain if done => {
                let place = self.place(by.actor);
                place.retained = place.session;
            }
            command => {
                if let Some((key, value)) = effect_of(command) {
                    self.write(Pending { by, key, value }, span.invoked, at, outcome, unknown);
                }
                if let Outcome::Done(reply) = outcome {
                    self.read(by, span, at, reply);
                }
            }
        }
    }

    fn write(&mut self, pending: Pending, from: usize, at: usize, outcome: &Outcome, unknown: bool) {
        if matches!(outcome, Outcome::Done(Reply::Changed(false))) {
            return;
        }
        let done = matches!(outcome, Outcome::Done(_));
        if done || unknown && self.decide() {
            let until = if done { at } else { self.settled };
            let Pending { by, key, value } = pending;
            match self.place(by.actor).frames.last_mut() {
                Some(frame) if frame.uncertain => self.limbo(&[pending], from),
                Some(frame) => frame.writes.push(pending),
                None => {
                    self.claims.committed.push(Write { by, key, value, from, until, assumed: unknown });
                    if done {
                        self.claims.autocommitted.push(Statement { by, at });
                    }
                }
            }
        } else {
            self.claims.dead.extend(dead(&pending, at, unknown));
        }
    }

    fn commit(&mut self, actor: ActorId, from: usize, at: usize, done: bool, unknown: bool) {
        let Some(frame) = self.pop(actor) else { return };
        let assumed = unknown && !frame.writes.is_empty();
        if !(done || assumed && self.decide()) {
            return self.bury(actor, frame, at, assumed);
        }
        match self.place(actor).frames.last_mut() {
            Some(outer) if outer.uncertain => return self.limbo(&frame.writes, from),
            Some(outer) => return outer.writes.extend(frame.writes),
            None => {}
        }
        let until = if done { at } else { self.settled };
        self.claims.transactions.push(Transaction { end: at, writes: frame.writes.iter().map(|it| it.by).collect() });
        for Pending { by, key, value } in last_per_key(&frame.writes) {
            self.claims.committed.push(Write { by, key, value, from, until, assumed });
        }
    }

    /// The innermost transaction of the system; raw ones are not its to end.
    fn pop(&mut self, actor: ActorId) -> Option<Frame> {
        let frames = &mut self.place(actor).frames;
        frames.pop_if(|it| !it.raw)
    }

    /// The frame's work is undone.
    fn bury(&mut self, actor: ActorId, frame: Frame, at: usize, assumed: bool) {
        self.claims.dead.extend(frame.writes.iter().flat_map(|it| dead(it, at, assumed)));
        if self.place(actor).frames.is_empty() && !frame.raw {
            let writes = frame.writes.iter().map(|it| it.by).collect();
            self.claims.transactions.push(Transaction { end: at, writes });
        }
    }

    fn drop_frames(&mut self, actor: ActorId, at: usize) {
        while let Some(frame) = self.place(actor).frames.pop() {
            self.bury(actor, frame, at, false);
        }
    }

    fn end_session(&mut self, actor: ActorId, at: usize) {
        if let Some(session) = self.place(actor).session.take() {
            self.claims.sessions[session].ended = at;
        }
    }

    /// The actor is gone. What it left open was ended by no command of the plan, so nothing was said of it: it may be seen
    /// or not.
    fn gone(&mut self, actor: ActorId, at: usize) {
        self.end_session(actor, at);
        for frame in std::mem::take(&mut self.place(actor).frames) {
            self.limbo(&frame.writes, at);
        }
    }

    /// From here on these writes may be seen, or not.
    fn limbo(&mut self, writes: &[Pending], at: usize) {
        let limbo = |it: &Pending| {
            let Pending { by, key, value } = *it;
            Write { by, key, value, from: at, until: usize::MAX, assumed: false }
        };
        self.claims.committed.extend(writes.iter().map(limbo));
    }

    /// Something did not succeed: if that was in a raw transaction, the database may have ended it, and the system, which
    /// knows nothing of it, cannot say so.
    fn doubt(&mut self, actor: ActorId, at: usize) {
        let Some(frame) = self.place(actor).frames.last_mut().filter(|it| it.raw) else { return };
        frame.uncertain = true;
        let writes = std::mem::take(&mut frame.writes);
        self.limbo(&writes, at);
    }

    fn read(&mut self, by: By, span: &Span<'_>, at: usize, reply: &Reply) {
        let one = |key: Key, seen: Option<Value>| (key, seen);
        let seen: Vec<(Key, Option<Value>)> = match (reply, &span.step.command) {
            (Reply::Value(value), Command::Get(key) | Command::Stale(StaleUse::Get(key))) => {
                vec![one(*key, *value)]
            }
            (Reply::Rows(rows), _) => all_keys(&self.keys, rows, None),
            (Reply::FirstRows(rows), _) => match rows.last() {
                Some((last, _)) => all_keys(&self.keys, rows, Some(*last)),
                None => return,
            },
            _ => return,
        };
        let isolation = self.history.isolation;
        let place = self.place(by.actor);
        if place.frames.iter().any(|it| it.uncertain) {
            return;
        }
        let from = if isolation.is_read_committed() {
            span.invoked
        } else {
            place.frames.first().map_or(span.invoked, |it| it.begun)
        };
        let own = |key: Key| {
            let writes = place.frames.iter().rev().flat_map(|it| it.writes.iter().rev());
            writes.clone().find(|it| it.key == key).map(|it| it.value)
        };
        let reads: Vec<_> =
            seen.into_iter().map(|(key, seen)| Read { by, key, seen, own: own(key), from, at }).collect();
        self.claims.reads.extend(reads);
    }
}

/// What a command changes if it is done.
pub(crate) fn effect_of(command: &Command) -> Option<(Key, Option<Value>)> {
    match command {
        Command::Delete(key) => Some((*key, None)),
        command => written(command).map(|(key, value)| (key, Some(value))),
    }
}

fn dead(write: &Pending, end: usize, assumed: bool) -> Option<Dead> {
    Some(Dead { by: write.by, value: write.value?, end, assumed })
}

fn last_per_key(writes: &[Pending]) -> Vec<Pending> {
    let mut last: BTreeMap<Key, Pending> = BTreeMap::new();
    for write in writes {
        last.insert(write.key, *write);
    }
    last.into_values().collect()
}

/// The rows, and for every other key up to the last one its absence.
fn all_keys(keys: &BTreeSet<Key>, rows: &[(Key, Value)], last: Option<Key>) -> Vec<(Key, Option<Value>)> {
    let mut seen: BTreeMap<Key, Option<Value>> =
        keys.iter().filter(|it| last.is_none_or(|last| **it <= last)).map(|it| (*it, None)).collect();
    seen.extend(rows.iter().map(|(key, value)| (*key, Some(*value))));
    seen.into_iter().collect()
}
