//! The scheduler: carries out turns.
//!
//! Owns turns. It polls the actors itself, one at a time, and lets exactly one pass a gate. A turn `a` runs one command
//! to its end or until it has to wait for another actor; a turn `a/` ends at the command's next gate.
//!
//! Pending is not blocked: the environment decides whether a command that was not woken may still be. An actor that is
//! blocked resumes at the next turn after it was woken; turns that it missed are made up when the schedule is over.
//!
//! The first command that hangs ends the plan: the hang is a violation already, nothing later could count, and the
//! remaining actors would only wait for it. They are dropped, and no observer runs.

use std::collections::VecDeque;

use super::director::Director;
use super::environment::{Environment, Stop};
use super::run::{ActorRun, ActorState};
use crate::erased::Started;
use crate::history::What;
use crate::plan::{Actor, ActorId, Command, Gate, Pause};

/// Whether all actors ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Performed {
    /// Every actor has ended.
    Whole,
    /// One hung, and the others were dropped with it.
    Hung,
}

/// The parts that a group of actors shares.
pub(super) struct Stage<'a, E> {
    pub(super) system: &'a dyn Started,
    pub(super) environment: &'a mut E,
}

impl<E: Environment> Stage<'_, E> {
    /// Runs these actors as they are directed, and then to their ends.
    pub(super) async fn perform(&mut self, actors: &[Actor], first: usize, director: Director<'_>) -> Performed {
        let system = self.system;
        let numbered = actors.iter().enumerate();
        let mut runs: Vec<_> = numbered
            .map(|(at, actor)| ActorRun::new(ActorId::new(first + at), actor, system, self.environment))
            .collect();
        for run in &mut runs {
            self.advance(run, Gate::Boundary).await;
        }
        loop {
            self.resume_woken(&mut runs).await;
            let Some(turn) = director(&mut runs.iter().map(ActorRun::state)) else { break };
            self.take_turn(&mut runs, turn.actor.index() - first, turn.until).await;
        }
        let performed = self.finish(&mut runs).await;
        self.environment.enter(None).await;
        performed
    }

    async fn take_turn(&mut self, runs: &mut [ActorRun<'_>], at: usize, until: Gate) {
        let run = &mut runs[at];
        if run.is_gone() {
            return;
        }
        if run.blocked {
            run.missed += usize::from(until == Gate::Boundary);
            return;
        }
        let fresh = run.port.is_at_boundary();
        // The assignment of turns must not depend on whether the first half of a command was all of it.
        let is_rest = std::mem::replace(&mut run.halved, until == Gate::Reply && !E::POLLS_ARE_DECIDED);
        if fresh && (is_rest || !run.port.grant()) {
            return;
        }
        if fresh && let Some((by, step)) = run.port.step() {
            self.environment.begin_command(by, step).await;
            if let Command::Wait(pause) = step.command {
                self.pass(runs, at, pause).await;
            }
        }
        self.advance(&mut runs[at], until).await;
    }

    /// Lets time pass for everybody. Whoever stands at a gate goes on first: what is held there alone takes no time.
    async fn pass(&mut self, runs: &mut [ActorRun<'_>], at: usize, pause: Pause) {
        for (_, other) in runs.iter_mut().enumerate().filter(|(other, _)| *other != at) {
            if other.state() == ActorState::Within {
                self.advance(other, Gate::Boundary).await;
            }
        }
        self.environment.enter(Some(runs[at].running())).await;
        if let Some((by, step)) = runs[at].port.step() {
            self.environment.log().record_for(by, What::Invoked(step.clone()));
        }
        self.environment.pass(pause.duration()).await;
    }

    /// Polls the actor until it reaches the gate, has to wait, or has ended.
    async fn advance(&mut self, run: &mut ActorRun<'_>, until: Gate) {
        self.environment.enter(Some(run.running())).await;
        let stop = loop {
            if run.poll(self.environment) {
                break Stop::Gone;
            }
            if run.port.is_at_boundary() {
                break Stop::Boundary;
            }
            if !self.environment.is_woken(&run.alarm).await {
                break Stop::Blocked;
            }
            if until == Gate::Reply && self.environment.is_at_gate(run.running()) {
                break Stop::Reply;
            }
        };
        run.blocked = stop == Stop::Blocked;
        if run.blocked {
            self.environment.log().record_as(run.running().by(), What::Blocked);
        }
        self.environment.end_turn(run.running(), stop).await;
    }

    async fn resume_woken(&mut self, runs: &mut [ActorRun<'_>]) {
        for run in runs {
            if run.can_resume() {
                self.advance(run, Gate::Boundary).await;
            }
        }
    }

    /// Makes up missed turns and ends every actor. If one hangs, all are dropped.
    async fn finish(&mut self, runs: &mut [ActorRun<'_>]) -> Performed {
        let mut queue: VecDeque<usize> = (0..runs.len()).collect();
        let mut idle = 0;
        self.environment.got_on();
        while let Some(at) = queue.pop_front() {
            self.resume_woken(runs).await;
            let run = &mut runs[at];
            if run.is_gone() {
                idle = 0;
                continue;
            }
            queue.push_back(at);
            if run.blocked {
                idle += 1;
                if idle > queue.len() {
                    if !self.environment.await_any(&|| runs.iter().any(ActorRun::can_resume)).await {
                        self.give_up(runs).await;
                        return Performed::Hung;
                    }
                    idle = 0;
                }
                continue;
            }
            idle = 0;
            if run.missed > 0 || !run.port.is_at_boundary() {
                run.missed = run.missed.saturating_sub(1);
                self.take_turn(runs, at, Gate::Boundary).await;
            } else {
                run.port.close();
                self.advance(run, Gate::Boundary).await;
            }
            self.environment.got_on();
        }
        Performed::Whole
    }

    /// Records that the first blocked actor hangs, and drops the others with it: they could only wait as well.
    async fn give_up(&mut self, runs: &mut [ActorRun<'_>]) {
        let mut what = What::Hung;
        for run in runs.iter_mut().filter(|run| !run.is_gone()) {
            self.environment.enter(Some(run.running())).await;
            run.discard(self.environment.log(), std::mem::replace(&mut what, What::Ended));
        }
    }
}
