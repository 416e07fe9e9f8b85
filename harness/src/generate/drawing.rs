//! One plan while it is drawn: the commands of its actors.
//!
//! Owns what is drawn in which order, on which every kept seed rests. Whole units of work are in `unit`, what is done to the
//! commands in `disturbance`.

use rand::Rng;

use super::draw::Draw;
use super::kinds::{Kind, residue_of};
use super::table::Table;
use crate::capability::Capabilities;
use crate::extension::Extension;
use crate::model::ActorState;
use crate::plan::{Actor, BeginMode, Command, Conflict, Key, Pause, Residue, Service, Spelling, Step, Usage, Wanted};
use crate::spelling::spellings;

/// One plan while it is drawn.
pub(super) struct Drawing<'a> {
    pub(super) capabilities: Capabilities,
    pub(super) extension: Option<&'a dyn Extension>,
    pub(super) nests: bool,
    pub(super) table: Table,
    pub(super) keys: u32,
    pub(super) fixture: bool,
    /// Whether the plan's connections share a cache, in which a session would wait for another one of its actor for ever.
    pub(super) shares_cache: bool,
    /// Whether sessions are soon over, so that there are many, as in an application with one for each request.
    pub(super) brief: bool,
    /// The services that the plan asks for: of few, each is met more than once.
    pub(super) wanted: [Wanted; 2],
    pub(super) next_value: u32,
    pub(super) pool_open: bool,
}

impl Drawing<'_> {
    /// An actor that does one thing after another.
    pub(super) fn actor(&mut self, steps: u8, draw: &mut Draw<'_, impl Rng>) -> Actor {
        let mut state = ActorState::default();
        let mut is_changed = false;
        let steps = (0..steps)
            .map(|at| {
                let looks = is_changed && self.table.has(Kind::Resolve) && draw.chance(8);
                let looked_at = looks.then(|| self.command_of(Kind::Resolve, state, draw));
                let step = Step::from(looked_at.unwrap_or_else(|| self.next(state, steps - at, draw)));
                // What shows a change of the registry is who asks for the same things after it.
                is_changed = changes_services(&step.command);
                // A command that the model refuses here would be a mistake of the table above; it is drawn as `open`.
                let taken = state.take(&step, self.capabilities);
                debug_assert_eq!(taken, Ok(()), "drew `{step}`");
                step
            })
            .collect();
        Actor { steps }
    }

    fn next(&mut self, state: ActorState, left: u8, draw: &mut Draw<'_, impl Rng>) -> Command {
        if self.brief && state.session && state.depth == 0 && self.table.has(Kind::Close) && draw.chance(5) {
            return Command::Close;
        }
        // A transaction that nobody ends shows little: what was done in it may be there or not.
        let end = if state.depth >= left && draw.chance(12) { self.end(state, draw) } else { None };
        // A handle that outlives its session is the central defect, so a retained one is used.
        let stale = state.outlived && self.table.has(Kind::Stale) && draw.chance(6);
        let stale = stale.then(|| self.command_of(Kind::Stale, state, draw));
        end.or(stale).unwrap_or_else(|| self.command(state, draw))
    }

    /// One of the ends of a transaction that the plan knows.
    fn end(&mut self, state: ActorState, draw: &mut Draw<'_, impl Rng>) -> Option<Command> {
        let ends = [Kind::Commit, Kind::Rollback, Kind::Drop, Kind::Close];
        let known = || ends.into_iter().filter(|it| self.table.has(*it));
        let kind = known().nth(draw.below_len(known().count()))?;
        Some(self.command_of(kind, state, draw))
    }

    /// A kind that applies is soon hit; where the plan knows none, the actor opens, or writes.
    pub(super) fn command(&mut self, state: ActorState, draw: &mut Draw<'_, impl Rng>) -> Command {
        for _ in 0..12 {
            let table = if state.session { &self.table.inside } else { &self.table.outside };
            if table.len == 0 {
                break;
            }
            let kind = table.kinds[draw.below_len(table.len)];
            if self.applies(kind, state) {
                return self.command_of(kind, state, draw);
            }
        }
        let kind = if state.session { Kind::Put } else { Kind::Open };
        self.command_of(kind, state, draw)
    }

    fn applies(&self, kind: Kind, state: ActorState) -> bool {
        match kind {
            Kind::Open => !state.session,
            Kind::ClosePool => !state.session && self.pool_open,
            Kind::Extra => true,
            // The fixture has limits of its own, and the test ends with them.
            Kind::Wait => !self.fixture,
            Kind::Stale => state.retained,
            Kind::Use => state.resolved,
            // It would wait for the fixture's one connection.
            Kind::Autonomous => state.session && !self.fixture && !(self.shares_cache && state.may_hold_locks()),
            Kind::Restore => state.overrides > 0,
            Kind::Crash => state.session || state.overrides > 0,
            Kind::Resolve | Kind::Override | Kind::Invalidate | Kind::WarmUp | Kind::Fork => true,
            _ if !state.session => false,
            kind if residue_of(kind).is_some_and(|it| spellings(self.capabilities.backend(), it).0 == 0) => false,
            Kind::Begin | Kind::BeginReadOnly => state.depth == 0,
            Kind::Nest => (1..3).contains(&state.depth),
            Kind::BeginExplicit => state.depth == 0 || self.nests && state.depth < 3,
            Kind::Commit | Kind::Rollback | Kind::Drop => state.depth > 0,
            Kind::RawBegin => state.depth == 0,
            _ => true,
        }
    }

    pub(super) fn command_of(&mut self, kind: Kind, state: ActorState, draw: &mut Draw<'_, impl Rng>) -> Command {
        match kind {
            Kind::Open => Command::Open,
            Kind::Close => Command::Close,
            Kind::Begin | Kind::Nest => Command::Begin(BeginMode::Plain),
            Kind::BeginExplicit => Command::Begin(*draw.one(&[BeginMode::Immediate, BeginMode::Exclusive])),
            Kind::BeginReadOnly => Command::Begin(BeginMode::ReadOnly),
            Kind::Commit => Command::Commit,
            Kind::Rollback => Command::Rollback,
            Kind::Drop => Command::Drop,
            Kind::Put => Command::Put(self.key(draw), self.value()),
            Kind::Swap => Command::Swap(self.key(draw), self.value()),
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
            Kind::Wait => Command::Wait(*draw.one(&Pause::ALL)),
            Kind::RawBegin
            | Kind::RawSetting
            | Kind::RawTempTable
            | Kind::RawLock
            | Kind::RawChannel
            | Kind::RawCursor
            | Kind::RawPrepared
            | Kind::RawAttached => self.raw(residue_of(kind).unwrap_or(Residue::Setting), draw),
            Kind::Inspect => Command::Inspect,
            Kind::Retain => Command::Retain,
            Kind::Stale if draw.chance(8) => Command::Stale(Usage::Get(self.key(draw))),
            Kind::Stale => Command::Stale(Usage::Put(self.key(draw), self.value())),
            Kind::Use if draw.chance(8) => Command::Use(Usage::Get(self.key(draw))),
            Kind::Use => Command::Use(Usage::Put(self.key(draw), self.value())),
            Kind::Autonomous if draw.chance(6) => Command::Autonomous(Usage::Get(self.key(draw))),
            Kind::Autonomous => Command::Autonomous(Usage::Put(self.key_of_autonomous(), self.value())),
            Kind::Race => Command::Race(self.key(draw)),
            Kind::Abandon => Command::Abandon(self.key(draw)),
            Kind::ClosePool => {
                self.pool_open = false;
                Command::ClosePool
            }
            Kind::Resolve => {
                let wanted = *draw.one(&self.wanted);
                let applies = state.session || !wanted.needs_session();
                Command::Resolve(if applies { wanted } else { Wanted::One(Service::Mailer) })
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

    /// Plainly, or in any of the ways to write it.
    fn raw(&self, residue: Residue, draw: &mut Draw<'_, impl Rng>) -> Command {
        let (cores, around) = spellings(self.capabilities.backend(), residue);
        let mut one_of = |count: u8| match draw.chance(4) {
            true => 0,
            false => u8::try_from(draw.below(u32::from(count))).unwrap_or(0),
        };
        Command::Raw(residue, Spelling { core: one_of(cores), around: one_of(around) })
    }

    fn key(&mut self, draw: &mut Draw<'_, impl Rng>) -> Key {
        Key(u8::try_from(draw.below(self.keys)).unwrap_or(0) + 1)
    }

    /// One that nothing else changes.
    fn key_of_autonomous(&self) -> Key {
        Key(u8::try_from(self.keys).unwrap_or(u8::MAX - 1) + 1)
    }

    pub(super) fn value(&mut self) -> u32 {
        self.next_value += 1;
        self.next_value - 1
    }
}

/// Whether what is resolved after it may differ from what was resolved before.
fn changes_services(command: &Command) -> bool {
    matches!(command, Command::Override(_) | Command::Restore | Command::Invalidate(_) | Command::Replace)
}
