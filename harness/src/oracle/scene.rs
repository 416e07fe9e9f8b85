//! The scene of a history: where each actor stands by the replies it has had, and what has fallen on whom.
//!
//! Owns who is innocent: on whom nothing fell, and in whose way nobody was. It is walked through with the events, in one
//! pass, and is the same in every branch. What an innocent command has to come to is
//! [`innocence`](super::innocence)'s.
//!
//! Each excuse stands beside its reason. What is not excused: an own mistake outside a transaction, which leaves the session
//! as it was; a cancel that did not land; a fault that was over before a statement of the same session succeeded.

use super::view::Facts;
use crate::history::{FailureClass, Outcome, Reply};
use crate::model::{ends_session, is_autonomous};
use crate::plan::{
    ActorId, BeginMode, Command, Fault, IsolationModel, Phase, Residue, ServerFault, Service, Step, Wanted,
};

/// Where all actors stand.
pub(super) struct Scene<'a> {
    facts: &'a Facts<'a>,
    /// By the actor's number.
    actors: Vec<Position>,
    /// A fault may have left connections behind that are dead, or that know of the database what is not so any more.
    hurt: bool,
    /// A table was changed: a statement that was prepared before may be refused in a transaction, which nobody can begin again unasked.
    pub(super) altered: bool,
    /// Work whose caller is gone may be under way, with its locks and on its connection.
    strays: bool,
}

/// Where an actor stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    /// It has a session.
    pub(super) session: bool,
    /// How many transactions of the system are open, one inside the other.
    pub(super) depth: u32,
    /// It has retained a handle.
    pub(super) retained: bool,
    /// That handle's session has ended.
    pub(super) outlived: bool,
    /// It has resolved the service `rows`.
    pub(super) resolved: bool,
    /// The session in which it has done so has ended.
    pub(super) superseded: bool,
    /// The guards that it has at least.
    pub(super) guards: u32,
    /// What it has left on its connection itself, by its place in [`Residue::ALL`], and nothing can have taken away.
    pub(super) left: [bool; Residue::ALL.len()],
    /// The same, of what it has left outside of any transaction: it stays for as long as the session serves, whatever falls on it.
    pub(super) stays: [bool; Residue::ALL.len()],
    /// Raw SQL may have begun a transaction in its session.
    raw: bool,
    /// A command of it is under way.
    running: bool,
    /// That command may wait for a second connection, with all that its actor has open.
    waiting: bool,
    /// Somebody else did so while its command was under way.
    delayed: bool,
    /// That command has a fault.
    faulted: bool,
    /// A fault of anybody was under way beside it, or a connection was cut.
    disturbed: bool,
    /// Somebody was in its way: a command of another actor, or what that one has open.
    crowded: bool,
    /// Somebody was in the way of the transaction that it has open, at any time since that began.
    met: bool,
    /// Its outermost transaction was begun read-only.
    pub(super) read_only: bool,
    /// Something failed in the transaction that it has open.
    failed: bool,
    /// Nothing is known of its session any more.
    troubled: bool,
    /// A write of the command that is under way was refused: its connection is read-only.
    refused_write: bool,
    /// A statement of its session succeeded since the last fault, so its connection is as good as ever.
    proved: bool,
    /// A transaction or a stream of it was left open, and nobody said when it ended.
    lingering: bool,
}

impl<'a> Scene<'a> {
    /// Before the first event.
    pub(super) fn new(facts: &'a Facts<'a>) -> Self {
        Self {
            facts,
            actors: vec![Position::default(); facts.history.planned],
            hurt: false,
            altered: false,
            strays: false,
        }
    }

    /// Where this actor stands.
    pub(super) fn position(&self, actor: ActorId) -> &Position {
        &self.actors[actor.index()]
    }

    /// Whether anybody else has a session, or is about to get one.
    pub(super) fn others_have_sessions(&self, actor: ActorId) -> bool {
        let others = self.actors.iter().enumerate().filter(|(at, _)| *at != actor.index());
        // A connection that was given up may keep its place until its work has ended.
        self.strays || others.into_iter().any(|(_, other)| other.session || other.running)
    }

    /// Whether the command that ended at this event may have met the locks of somebody else: of an actor, or of a task of the
    /// system's own that ran late.
    pub(super) fn may_conflict(&self, actor: ActorId, at: usize) -> bool {
        let Position { crowded, met, .. } = *self.position(actor);
        crowded || met || self.strays || self.facts.history.tasks_overlap.is_some_and(|from| from <= at)
    }

    /// Whether somebody was in the way of the command, and waited as well, or is gone and left work that a fault may hold back.
    pub(super) fn may_wait_in_vain(&self, actor: ActorId) -> bool {
        let Position { crowded, delayed, .. } = *self.position(actor);
        crowded && (delayed || self.strays && self.hurt)
    }

    /// Whether another session of the same actor may meet what its own has open.
    pub(super) fn has_locks(&self, actor: ActorId) -> bool {
        let Position { depth, lingering, .. } = *self.position(actor);
        depth > 0 || lingering
    }

    /// Whether somebody else did something while the command was under way.
    pub(super) fn is_crowded(&self, actor: ActorId) -> bool {
        self.position(actor).crowded
    }

    /// Whether something fell on the command that is under way, or on what it rests on, so that nothing is asked of it.
    pub(super) fn is_excused(&self, actor: ActorId, command: &Command, at: usize) -> bool {
        let position = self.position(actor);
        // What the actor's own session has proved says nothing of another one.
        let is_proved = position.proved && !is_autonomous(command);
        // It has a fault, or another command had one beside it, which may have hit this one.
        position.disturbed
            // A connection that was idle when it died is noticed by its next user, and one that is down by whoever connects.
            || self.hurt && !is_proved
            // The session was left in doubt by an earlier command of its own.
            || position.troubled
            // PostgreSQL refuses everything in a transaction in which something failed.
            || position.failed
            // A closed pool serves nobody; whether it goes on with the sessions that it has is its own business.
            || self.facts.pool_may_close.is_some_and(|closing| closing < at)
            // Inside a fixture everybody is on one connection, which is in doubt for all of them.
            || self.facts.history.fixture && self.strays
    }

    /// A command begins.
    pub(super) fn invoked(&mut self, actor: ActorId, step: &Step) {
        let fixture = self.facts.history.fixture;
        let lasts = step.fault.is_some_and(leaves_something);
        if matches!(step.command, Command::Wait(_)) {
            // A limit may run out meanwhile: of a command that waits, and of a transaction in which nothing happens.
            for position in &mut self.actors {
                position.disturbed |= position.running;
                position.troubled |= position.depth > 0;
            }
        }
        self.hurt |= lasts;
        self.altered |= matches!(step.fault, Some(Fault::Server(ServerFault::AlterTable, _)));
        let (mut crowded, mut disturbed, mut delayed) = (false, step.fault.is_some(), false);
        let waiting = is_autonomous(&step.command);
        for (at, other) in self.actors.iter_mut().enumerate() {
            other.proved &= !lasts;
            if at == actor.index() {
                continue;
            }
            // In a fixture a session keeps its turn.
            crowded |= other.running || other.depth > 0 || other.lingering || fixture && other.session;
            disturbed |= other.running && other.faulted;
            delayed |= other.running && other.waiting;
            other.delayed |= waiting;
            other.crowded |= other.running;
            other.disturbed |= other.running && step.fault.is_some();
            other.met |= other.depth > 0;
        }
        let mine = &mut self.actors[actor.index()];
        mine.raw |= matches!(step.command, Command::Raw(Residue::Transaction, _));
        (mine.running, mine.faulted, mine.disturbed, mine.crowded) = (true, step.fault.is_some(), disturbed, crowded);
        (mine.waiting, mine.delayed) = (waiting, delayed);
    }

    /// A connection of this actor's is read-only; its session may be given up for that.
    pub(super) fn refused_write(&mut self, actor: ActorId) {
        let mine = &mut self.actors[actor.index()];
        // Where its caller has begun so, that says nothing of the connection.
        mine.refused_write = !mine.read_only;
    }

    /// A connection was cut.
    pub(super) fn lost(&mut self) {
        self.hurt = true;
        for position in &mut self.actors {
            position.proved = false;
            position.disturbed |= position.running;
        }
    }

    /// The system did nothing for the command.
    pub(super) fn skipped(&mut self, actor: ActorId) {
        let mine = &mut self.actors[actor.index()];
        (mine.running, mine.faulted) = (false, false);
    }

    /// The actor has ended, with or without the command that it had begun.
    pub(super) fn ended(&mut self, actor: ActorId) {
        let mine = &mut self.actors[actor.index()];
        self.strays |= mine.running;
        (mine.running, mine.faulted) = (false, false);
        mine.end_session();
    }

    /// The command has ended.
    pub(super) fn returned(&mut self, actor: ActorId, command: &Command, outcome: &Outcome) {
        let is_postgres = self.facts.history.isolation == IsolationModel::Postgres;
        let mine = &mut self.actors[actor.index()];
        (mine.running, mine.faulted) = (false, false);
        let is_doubtful = std::mem::take(&mut mine.refused_write) && !matches!(outcome, Outcome::Done(_));
        match outcome {
            Outcome::Done(reply) => {
                mine.done(command);
                // On PostgreSQL the rest of a stream's answer comes all the same, and a session may be given up rather than read it.
                mine.troubled |= matches!(reply, Reply::FirstRows(_)) && is_postgres;
                mine.proved |= reaches_database(command) && !mine.disturbed;
            }
            Outcome::Failed(failure) => {
                mine.failed(command, failure.class);
                self.strays |= failure.class.is_unknown();
            }
            Outcome::Cancelled(phase) => {
                mine.cancelled(command);
                self.strays |= *phase != Phase::BeforeSend;
            }
        }
        self.actors[actor.index()].troubled |= is_doubtful;
    }
}

impl Position {
    fn done(&mut self, command: &Command) {
        match command {
            Command::Open => self.begin_session(),
            Command::Replace => {
                self.end_session();
                self.begin_session();
            }
            Command::Close | Command::Abandon(_) => self.end_session(),
            Command::Crash => {
                self.end_session();
                (self.guards, self.resolved) = (0, false);
            }
            Command::Begin(mode) => {
                if self.depth == 0 {
                    self.read_only = *mode == BeginMode::ReadOnly;
                    self.met = self.crowded;
                }
                self.depth += 1;
            }
            Command::Commit => self.end_transaction(),
            Command::Rollback => {
                self.left = Default::default();
                self.end_transaction();
            }
            Command::Drop => {
                self.left = Default::default();
                // It is rolled back behind the caller's back, perhaps later.
                self.lingering = true;
                self.end_transaction();
            }
            Command::Retain => (self.retained, self.outlived) = (true, false),
            Command::Resolve(Wanted::One(Service::Rows)) => (self.resolved, self.superseded) = (true, false),
            Command::Override(_) => self.guards += 1,
            Command::Restore => self.guards = self.guards.saturating_sub(1),
            // The system knows nothing of it, and what it is in its way cannot be said.
            Command::Raw(Residue::Transaction, _) => (self.troubled, self.lingering) = (true, true),
            Command::Raw(residue, _) => {
                self.left[place(*residue)] = true;
                self.stays[place(*residue)] |= self.depth == 0 && !self.raw;
            }
            // Its cursor is closed behind the caller's back, perhaps later.
            Command::Stream(_) => self.lingering = true,
            _ => {}
        }
    }

    fn failed(&mut self, command: &Command, class: FailureClass) {
        let is_inside = self.depth > 0;
        match command {
            Command::Open => self.end_session(),
            command if ends_session(command) => self.end_session(),
            Command::ClosePool => {}
            // What it has met was in a session that is over.
            Command::Autonomous(_) => {}
            command if is_of_registry(command) => {}
            Command::Commit | Command::Rollback | Command::Drop => {
                // What is still open nobody knows.
                (self.troubled, self.lingering) = (true, true);
                self.end_transaction();
            }
            _ => {
                self.failed |= is_inside;
                if is_inside {
                    self.left = Default::default();
                }
                // These say that the statement was refused, and nothing else happened.
                let is_refusal = matches!(class, FailureClass::Mistake | FailureClass::Busy);
                self.troubled |= !(is_refusal || self.read_only && class == FailureClass::ReadOnly);
            }
        }
    }

    fn cancelled(&mut self, command: &Command) {
        match command {
            Command::ClosePool => {}
            Command::Restore => self.guards = 0,
            command if is_of_registry(command) => {}
            command => {
                // Also if it had not begun: a caller that gives up a call may give up its session with it.
                self.troubled = true;
                self.lingering |= self.depth > 0;
                match command {
                    command if ends_session(command) => {
                        self.end_session();
                        self.troubled = true;
                        self.guards = 0;
                    }
                    Command::Commit | Command::Rollback | Command::Drop => self.end_transaction(),
                    _ => {}
                }
            }
        }
    }

    fn begin_session(&mut self) {
        (self.session, self.depth, self.failed, self.troubled) = (true, 0, false, false);
        self.read_only = false;
        (self.proved, self.raw) = (false, false);
        (self.left, self.stays) = Default::default();
    }

    /// What it left open is rolled back behind its back, perhaps later.
    fn end_session(&mut self) {
        self.lingering |= self.depth > 0;
        self.outlived |= self.session;
        self.superseded |= self.session;
        (self.session, self.depth, self.failed, self.troubled, self.met) = (false, 0, false, false, false);
        self.left = Default::default();
    }

    fn end_transaction(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0 {
            (self.failed, self.met, self.read_only) = (false, false, false);
        }
    }
}

/// The place of this residue in [`Residue::ALL`].
pub(super) fn place(residue: Residue) -> usize {
    Residue::ALL.iter().position(|it| *it == residue).unwrap_or(0)
}

/// Whether a fault may still be noticed when its command is over. These are about one statement and are over with it.
fn leaves_something(fault: Fault) -> bool {
    !matches!(
        fault,
        Fault::Locked | Fault::Interrupt | Fault::RefuseCommit | Fault::Server(ServerFault::CancelQuery, _)
    )
}

/// Whether it is done by a registry, without a session's connection.
fn is_of_registry(command: &Command) -> bool {
    matches!(
        command,
        Command::Resolve(_)
            | Command::Override(_)
            | Command::Restore
            | Command::Invalidate(_)
            | Command::WarmUp
            | Command::Fork
            | Command::Retain
    )
}

/// Whether a reply to it shows that the session's connection works.
pub(super) fn reaches_database(command: &Command) -> bool {
    matches!(
        command,
        Command::Put(..)
            | Command::Swap(..)
            | Command::Insert(..)
            | Command::Get(_)
            | Command::Race(_)
            | Command::Delete(_)
            | Command::Scan
            | Command::Inspect
            | Command::Begin(_)
    )
}
