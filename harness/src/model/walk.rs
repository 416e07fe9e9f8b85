//! How the claims are drawn up: one walk through the history, under one assignment of the unknown outcomes.
//!
//! Owns what each reply means for where its actor is. Evidence from below is not looked at.

use super::claims::{Claims, Ending, Lock, Read, Session, Statement, Target, Transaction, Write};
use super::frame::{Frame, Pending, all_keys, dead, last_per_key, own, seen_from};
use super::meaning::{begins_transaction, effect_of, ends_session, is_autonomous, opens_session, touched, used};
use crate::history::{By, ByCommand, History, Outcome, Reply, Span, What};
use crate::plan::{ActorId, BeginMode, Command, Key, Phase, Residue, Usage, Value};

impl Claims {
    /// Draws up the claims from the history and its commands; bit *n* of `assignment` says whether the *n*-th unknown outcome
    /// took effect.
    pub fn of(history: &History, spans: &ByCommand<Span<'_>>, assignment: u64) -> Self {
        let settled = history.events.iter().position(|it| it.what == What::PlanOver).unwrap_or(history.events.len());
        let touched = spans.values().filter_map(|it| touched(&it.step.command));
        let mut keys: Vec<Key> = touched.filter(|key| *key != Key::OBSERVER).collect();
        keys.sort_unstable();
        keys.dedup();
        let (claims, actors) = (Self::default(), Vec::with_capacity(ACTORS_USUAL));
        let mut walk = Walk { history, assignment, settled, keys, claims, actors, faulted: false, bits: 0 };
        for (at, event) in history.events.iter().enumerate() {
            let Some(by) = event.by else { continue };
            match &event.what {
                What::Invoked(step) => {
                    if !is_autonomous(&step.command) && walk.place(by.actor).frames.iter().any(|it| !it.raw) {
                        walk.claims.in_transaction.push(by);
                    }
                    walk.faulted |= step.fault.is_some();
                    if ends_session(&step.command) {
                        walk.end_session(by.actor, at);
                        walk.leave(by.actor, at);
                    }
                    if walk.may_end_outermost(by.actor, &step.command) {
                        walk.release(by.actor, at);
                    }
                }
                What::Returned(outcome) => {
                    if let Some(span) = spans.get(by) {
                        walk.returned(by, at, span, outcome);
                    }
                }
                What::Ended | What::Panicked(_) | What::Hung => {
                    walk.cut_short(by, at, spans.get(by));
                    walk.gone(by.actor, at);
                }
                _ => {}
            }
        }
        // A plan's thread that is given up says of no other command that it has ended.
        for (by, span) in spans.iter().filter(|(_, it)| it.is_unfinished()) {
            if !walk.place(by.actor).gone {
                walk.cut_short(by, history.events.len(), Some(span));
                walk.gone(by.actor, history.events.len());
            }
        }
        walk.claims.unknowns = walk.bits;
        walk.claims
    }
}

/// As many actors as few plans exceed, their observers included.
const ACTORS_USUAL: usize = 8;

struct Walk<'a> {
    history: &'a History,
    assignment: u64,
    /// The event by which every cancelled command has either happened or not.
    settled: usize,
    /// Every key that a command names, but the observers', in order.
    keys: Vec<Key>,
    claims: Claims,
    /// By the actor's number.
    actors: Vec<Place>,
    /// There has been a fault.
    faulted: bool,
    bits: u32,
}

/// Where an actor stands, by the replies it has had.
#[derive(Default)]
struct Place {
    session: Option<usize>,
    retained: Option<usize>,
    frames: Vec<Frame>,
    /// Something in the session did not succeed.
    troubled: bool,
    /// The lock that its transaction has, by its place among the claims.
    lock: Option<usize>,
    /// The actor has ended.
    gone: bool,
}

/// The transactions that the actor has open.
fn frames(actors: &[Place], actor: ActorId) -> &[Frame] {
    actors.get(actor.index()).map_or(&[], |place| &place.frames)
}

impl Walk<'_> {
    fn place(&mut self, actor: ActorId) -> &mut Place {
        let at = actor.index();
        if at >= self.actors.len() {
            self.actors.resize_with(at + 1, Place::default);
        }
        &mut self.actors[at]
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
            self.release(by.actor, span.invoked);
            self.place(by.actor).troubled = true;
        }
        if done && begins_transaction(&span.step.command) {
            self.doubt(by.actor, at);
        }
        match &span.step.command {
            command if done && opens_session(command) => {
                self.drop_frames(by.actor, at);
                self.place(by.actor).troubled = false;
                let session = Session { actor: by.actor, opened: at, ended: self.history.events.len() };
                self.claims.sessions.push(session);
                let id = self.claims.sessions.len() - 1;
                self.place(by.actor).session = Some(id);
            }
            command if ends_session(command) => self.drop_frames(by.actor, at),
            Command::Begin(mode) if done => {
                if matches!(mode, BeginMode::Immediate | BeginMode::Exclusive) {
                    self.lock(by, at);
                }
                let frame = Frame { begun: span.invoked, raw: false, uncertain: false, writes: Vec::new() };
                self.place(by.actor).frames.push(frame);
            }
            Command::Raw(Residue::Transaction, _) if self.place(by.actor).frames.is_empty() => {
                if done || unknown && self.decide() {
                    let frame = Frame { begun: span.invoked, raw: true, uncertain: false, writes: Vec::new() };
                    self.place(by.actor).frames.push(frame);
                }
            }
            Command::Commit => self.commit(by.actor, span.invoked, at, done, unknown),
            Command::Rollback | Command::Drop => {
                if let Some(frame) = self.pop(by.actor) {
                    let is_quiet = !self.faulted && !self.place(by.actor).troubled;
                    let told = done && is_quiet && span.step.command == Command::Rollback;
                    let ending = if told { Ending::RolledBack } else { Ending::Untold };
                    self.bury(by.actor, frame, at, false, ending);
                }
            }
            Command::Retain if done => {
                let place = self.place(by.actor);
                place.retained = place.session;
            }
            command => {
                if let Command::Insert(key, ..) | Command::Delete(key) = command {
                    self.aim(by, *key, span.invoked, at);
                }
                if let Outcome::Done(reply) = outcome {
                    self.read(by, span, at, reply);
                }
                let did_nothing = match outcome {
                    Outcome::Done(Reply::Changed(changed)) => !changed,
                    Outcome::Done(Reply::Value(None)) => matches!(command, Command::Swap(..)),
                    _ => false,
                };
                if let Some((key, value)) = effect_of(command).filter(|_| !did_nothing) {
                    let replaced = self.replaced(by.actor, command, outcome);
                    let pending = Pending { by, key, value, replaced };
                    self.write(pending, is_autonomous(command), (span.invoked, at), outcome, unknown);
                }
            }
        }
    }

    /// What a swap has put its value in the place of, unless its own transaction had written that.
    fn replaced(&self, actor: ActorId, command: &Command, outcome: &Outcome) -> Option<Value> {
        let (Command::Swap(key, _), Outcome::Done(Reply::Value(seen))) = (command, outcome) else { return None };
        seen.filter(|_| own(frames(&self.actors, actor), *key).is_none())
    }

    fn write(
        &mut self,
        pending: Pending,
        is_autonomous: bool,
        (from, at): (usize, usize),
        outcome: &Outcome,
        unknown: bool,
    ) {
        let done = matches!(outcome, Outcome::Done(_));
        if done || unknown && self.decide() {
            let until = if done { at } else { self.settled };
            let Pending { by, key, value, replaced } = pending;
            match self.place(by.actor).frames.last_mut().filter(|_| !is_autonomous) {
                Some(frame) if frame.uncertain => self.limbo(&[pending], from),
                Some(frame) => frame.writes.push(pending),
                None => {
                    self.claims.committed.push(Write { by, key, value, from, until, replaced, assumed: unknown });
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
            return self.bury(actor, frame, at, assumed, Ending::Untold);
        }
        match self.place(actor).frames.last_mut() {
            Some(outer) if outer.uncertain => return self.limbo(&frame.writes, from),
            Some(outer) => return outer.writes.extend(frame.writes),
            None => {}
        }
        let until = if done { at } else { self.settled };
        let ending = if done { Ending::Committed } else { Ending::Untold };
        let writes = frame.writes.iter().map(|it| it.by).collect();
        self.claims.transactions.push(Transaction { end: at, writes, ending });
        for Pending { by, key, value, replaced } in last_per_key(&frame.writes) {
            self.claims.committed.push(Write { by, key, value, from, until, replaced, assumed });
        }
    }

    /// The innermost transaction of the system; raw ones are not its to end.
    fn pop(&mut self, actor: ActorId) -> Option<Frame> {
        let frames = &mut self.place(actor).frames;
        frames.pop_if(|it| !it.raw)
    }

    /// The frame's work is undone.
    fn bury(&mut self, actor: ActorId, frame: Frame, at: usize, assumed: bool, ending: Ending) {
        self.claims.dead.extend(frame.writes.iter().flat_map(|it| dead(it, at, assumed)));
        if self.place(actor).frames.is_empty() && !frame.raw {
            let writes = frame.writes.iter().map(|it| it.by).collect();
            self.claims.transactions.push(Transaction { end: at, writes, ending });
        }
    }

    fn drop_frames(&mut self, actor: ActorId, at: usize) {
        while let Some(frame) = self.place(actor).frames.pop() {
            self.bury(actor, frame, at, false, Ending::Untold);
        }
    }

    fn end_session(&mut self, actor: ActorId, at: usize) {
        if let Some(session) = self.place(actor).session.take() {
            self.claims.sessions[session].ended = at;
        }
    }

    /// The actor is gone, and its session with it. What it left open was committed by no command.
    fn gone(&mut self, actor: ActorId, at: usize) {
        self.end_session(actor, at);
        self.release(actor, at);
        self.leave(actor, at);
        self.drop_frames(actor, at);
        self.place(actor).gone = true;
    }

    /// The command came to no end, so nobody was told of its outcome: it may take effect at any time from its invocation
    /// on, or never.
    fn cut_short(&mut self, by: By, at: usize, span: Option<&Span<'_>>) {
        let Some(span) = span.filter(|it| it.is_unfinished()) else { return };
        self.doubt(by.actor, at);
        if span.step.command == Command::Commit {
            return self.commit(by.actor, span.invoked, at, false, true);
        }
        let Some((key, value)) = effect_of(&span.step.command) else { return };
        // One row is changed whole or not at all, so no branch is needed to follow it. What is written inside a transaction
        // goes with that.
        let frames = &self.place(by.actor).frames;
        if is_autonomous(&span.step.command) || frames.last().is_none_or(|frame| frame.uncertain) {
            self.limbo(&[Pending { by, key, value, replaced: None }], span.invoked);
        }
    }

    /// The session ends, perhaps with a transaction open.
    fn leave(&mut self, actor: ActorId, at: usize) {
        if !self.place(actor).frames.is_empty() {
            self.claims.left_open.push(at);
        }
    }

    /// The transaction that begins has the database's write lock, if it is the outermost and nothing in its session has
    /// failed before it.
    fn lock(&mut self, by: By, at: usize) {
        let number = self.claims.locks.len();
        let place = self.place(by.actor);
        if place.frames.is_empty() && !place.troubled {
            place.lock = Some(number);
            self.claims.locks.push(Lock { by, from: at, until: self.history.events.len() });
        }
    }

    /// The transaction that the actor has may end from here on.
    fn release(&mut self, actor: ActorId, at: usize) {
        if let Some(lock) = self.place(actor).lock.take() {
            self.claims.locks[lock].until = at;
        }
    }

    /// Whether this is the end of the outermost transaction that the actor has.
    fn may_end_outermost(&mut self, actor: ActorId, command: &Command) -> bool {
        let ends = matches!(command, Command::Commit | Command::Rollback | Command::Drop);
        ends_session(command) || ends && self.place(actor).frames.len() <= 1
    }

    /// From here on these writes may be seen, or not.
    fn limbo(&mut self, writes: &[Pending], at: usize) {
        let limbo = |it: &Pending| {
            let Pending { by, key, value, replaced } = *it;
            Write { by, key, value, from: at, until: usize::MAX, replaced, assumed: false }
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
            (Reply::Value(value), Command::Get(key) | Command::Race(key) | Command::Swap(key, _)) => {
                vec![one(*key, *value)]
            }
            (Reply::Value(value), command) => match used(command) {
                Some(Usage::Get(key)) => vec![one(key, *value)],
                _ => return,
            },
            (Reply::Rows(rows), _) => all_keys(&self.keys, rows, None),
            // Fewer than were asked for are all that there are.
            (Reply::FirstRows(rows), Command::Stream(limit)) if rows.len() < usize::from(*limit) => {
                all_keys(&self.keys, rows, None)
            }
            (Reply::FirstRows(rows), _) => match rows.last() {
                Some((last, _)) => all_keys(&self.keys, rows, Some(*last)),
                None => return,
            },
            _ => return,
        };
        let frames = if is_autonomous(&span.step.command) { &[] } else { frames(&self.actors, by.actor) };
        let Some(from) = seen_from(self.history.isolation, frames, span.invoked) else { return };
        let read = |(key, seen)| Read { by, key, seen, own: own(frames, key), from, at };
        self.claims.reads.extend(seen.into_iter().map(read));
    }

    /// The command is about a row that may be there or not.
    fn aim(&mut self, by: By, key: Key, invoked: usize, at: usize) {
        let frames = frames(&self.actors, by.actor);
        let Some(from) = seen_from(self.history.isolation, frames, invoked) else { return };
        self.claims.targets.push(Target { by, key, own: own(frames, key), from, at });
    }
}
