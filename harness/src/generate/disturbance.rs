//! What is done to the commands of a drawn plan: cancels and faults, and where.
//!
//! Drawn evenly over commands, most disturbances would fall on statements, and few on a commit or a nested begin, of which a
//! plan has fewer; and many would fall where they cannot land. So it is drawn first what is to be disturbed, among the kinds
//! of operations that the plan has and that the disturbance can hit, and then which command of that kind. Plans are drawn
//! independently of each other, so that each is known by its seed and its number: over many plans each kind is met as often
//! as the others, and none has to be counted.

use rand::Rng;

use super::draw::Draw;
use crate::capability::{Capabilities, Capability};
use crate::model::{ActorState, Operation, Standing, is_cut_off, may_meet, waits};
use crate::plan::{Actor, Command, Fault, Phase, Step};

/// What is done to the commands of one plan.
pub(super) struct Disturbances<'a> {
    pub(super) capabilities: Capabilities,
    /// By their words.
    pub(super) faults: &'a [Vec<Fault>],
    /// Whether the plan has a server of its own.
    pub(super) server_wide: bool,
    /// How many of sixteen commands are cancelled.
    pub(super) cancel_rate: u32,
    /// How many of sixteen commands have a fault.
    pub(super) fault_rate: u32,
    /// Whether a kind of operation is drawn first.
    pub(super) aimed: bool,
}

/// Most commands have as many polls, and few have more than the other number.
const POLLS_USUAL: u8 = 4;
const POLLS_MAX: u8 = 8;

/// Each may leave an outcome unknown, some leave a second one, and more than the oracle follows would show nothing: fewer than
/// [`UNKNOWNS_MAX`](crate::model::UNKNOWNS_MAX).
const DISTURBANCES_MAX: u32 = 6;

/// A command that may be disturbed.
struct Target {
    actor: usize,
    at: usize,
    depth: u32,
    operation: Operation,
}

impl Disturbances<'_> {
    /// Draws them.
    pub(super) fn draw(&self, actors: &mut [Actor], draw: &mut Draw<'_, impl Rng>) {
        if self.cancel_rate == 0 && self.fault_rate == 0 {
            return;
        }
        let targets = targets(actors, self.capabilities);
        let mut left = DISTURBANCES_MAX;
        for _ in 0..targets.len() {
            if left > 0 && draw.chance(self.cancel_rate) {
                left -= u32::from(self.cancel(actors, &targets, draw));
            }
            // Later, since some faults meet only what a cancelled command leaves behind.
            if left > 0 && draw.chance(self.fault_rate) {
                left -= u32::from(self.fault(actors, &targets, draw));
            }
        }
    }

    fn fault(&self, actors: &mut [Actor], targets: &[Target], draw: &mut Draw<'_, impl Rng>) -> bool {
        // A plan that restarts a server does it more than once, since it has paid for one of its own.
        let wide = self.server_wide && draw.chance(8);
        let of_one_word = if wide { Fault::server_wide() } else { draw.one(self.faults) };
        let fault = *draw.one(of_one_word);
        if fault.costs_connection() && !self.capabilities.has(Capability::ConnectionLoss) {
            return false;
        }
        let meets = fault.row().meets;
        let able = |target: &Target, before: &[Step], step: &Step| {
            let mut of_session = before.iter().rev().take_while(|step| step.command != Command::Open);
            let standing = Standing { depth: target.depth, is_unsettled: of_session.any(is_cut_off) };
            let ends = matches!(step.command, Command::ClosePool);
            step.fault.is_none() && !ends && (!self.aimed || may_meet(step, standing, meets))
        };
        self.place(actors, targets, draw, able, |step| step.fault = Some(fault))
    }

    fn cancel(&self, actors: &mut [Actor], targets: &[Target], draw: &mut Draw<'_, impl Rng>) -> bool {
        let phase = self.phase(draw);
        let able = |_: &Target, _: &[Step], step: &Step| {
            let is_call = !matches!(step.command, Command::Wait(_));
            is_call && step.cancel.is_none() && (!self.aimed || phase == Phase::BeforeSend || waits(&step.command))
        };
        self.place(actors, targets, draw, able, |step| step.cancel = Some(phase))
    }

    fn phase(&self, draw: &mut Draw<'_, impl Rng>) -> Phase {
        if self.capabilities.has(Capability::Polls) && draw.chance(8) {
            let most = if draw.chance(12) { POLLS_USUAL } else { POLLS_MAX };
            return Phase::Poll(draw.in_octaves(0, most));
        }
        // Nothing has happened yet to a future that was never polled, so little can go wrong.
        if self.aimed && !draw.chance(2) {
            *draw.one(&[Phase::Sent, Phase::BeforeReply])
        } else if self.aimed {
            Phase::BeforeSend
        } else {
            *draw.one(&Phase::ALL)
        }
    }

    /// Does it to one of the commands that are able; whether there was one.
    fn place(
        &self,
        actors: &mut [Actor],
        targets: &[Target],
        draw: &mut Draw<'_, impl Rng>,
        able: impl Fn(&Target, &[Step], &Step) -> bool,
        disturb: impl FnOnce(&mut Step),
    ) -> bool {
        let is_able = |target: &&Target| {
            let (before, from) = actors[target.actor].steps.split_at(target.at);
            from.first().is_some_and(|step| able(target, before, step))
        };
        let mut counts = [0_usize; Operation::ALL.len()];
        for target in targets.iter().filter(is_able) {
            counts[target.operation as usize] += 1;
        }
        let chosen = if self.aimed {
            let met = Operation::ALL.into_iter().filter(|kind| counts[*kind as usize] > 0);
            draw.weighted(met, |kind| chance_to_hit(*kind)).and_then(|kind| {
                let one = draw.below_len(counts[kind as usize]);
                targets.iter().filter(is_able).filter(|target| target.operation == kind).nth(one)
            })
        } else {
            let one = draw.below_len(counts.iter().sum());
            targets.iter().filter(is_able).nth(one)
        };
        let Some(Target { actor, at, .. }) = chosen else { return false };
        disturb(&mut actors[*actor].steps[*at]);
        true
    }
}

/// How likely a disturbance of such an operation hits anything, whatever the system: often an idle connection is lent, given
/// back, and a service found, without a word to the database; and what follows a session that was not opened is skipped.
fn chance_to_hit(operation: Operation) -> u32 {
    match operation {
        Operation::Close | Operation::Registry => 1,
        Operation::Open => 2,
        Operation::Begin
        | Operation::NestedBegin
        | Operation::Statement
        | Operation::InTransaction
        | Operation::Commit
        | Operation::Rollback => 8,
    }
}

/// Every command, with where its actor may stand.
fn targets(actors: &[Actor], capabilities: Capabilities) -> Vec<Target> {
    let mut targets = Vec::with_capacity(actors.iter().map(|actor| actor.steps.len()).sum());
    for (number, actor) in actors.iter().enumerate() {
        let mut state = ActorState::default();
        for (at, step) in actor.steps.iter().enumerate() {
            let depth = u32::from(state.depth);
            targets.push(Target { actor: number, at, depth, operation: Operation::of(&step.command, depth) });
            // What was drawn applies.
            let _ = state.take(step, capabilities);
        }
    }
    targets
}
