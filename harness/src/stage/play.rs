//! The parts of a plan, in the order in which they are played.
//!
//! Owns that order: the plan's actors, a rest, the observers, the system's report, its stop, the final state. The
//! caller starts the system before and takes the history afterwards.

use super::director::{Director, along, in_rounds};
use super::environment::Environment;
use super::schedule::{Performed, Stage};
use crate::capability::{Capabilities, Capability};
use crate::erased::Started;
use crate::history::What;
use crate::model::observers;
use crate::plan::Plan;

/// Plays a plan with a running system into the environment's log. The director chooses the turns.
///
/// # Cancel safety
/// Cancel safe: the actors and the system go with the future.
pub async fn play<E: Environment>(
    environment: &mut E,
    system: Box<dyn Started>,
    capabilities: Capabilities,
    plan: &Plan,
    director: Director<'_>,
) {
    let mut stage = Stage { system: &*system, environment: &mut *environment };
    let mut hung = stage.perform(&plan.actors, 0, director).await == Performed::Hung;
    if hung {
        stage.environment.rest_after_hang().await;
    } else {
        stage.environment.rest().await;
    }
    stage.environment.enter(None).await;
    stage.environment.log().record(What::PlanOver);
    if !hung {
        let observers = stage.environment.log().read(|history| observers(history, plan.connections, capabilities));
        let rounds = in_rounds(&observers, plan.actors.len());
        hung = stage.perform(&observers, plan.actors.len(), &mut along(&rounds)).await == Performed::Hung;
    }
    let reports = capabilities.has(Capability::Reports);
    if !hung && (reports || E::RESTS_ARE_FREE) {
        stage.environment.rest().await;
    }
    if !hung && reports {
        // A report that never comes is a hang like any other.
        match stage.environment.run_to_end(stage.system.report()).await {
            Some(report) => stage.environment.log().record(What::Reported(report)),
            None => {
                stage.environment.log().record(What::Hung);
                hung = true;
            }
        }
    }
    stage.environment.begin_end().await;
    if !hung {
        match stage.environment.run_to_end(stage.system.stop()).await {
            Some(()) => {
                stage.environment.closed().await;
                stage.environment.log().record(What::Stopped);
            }
            None => stage.environment.log().record(What::StopHung),
        }
    }
    let what = match environment.final_state(system, hung).await {
        Ok(rows) => What::FinalState(rows),
        Err(why) => What::HarnessFault(why),
    };
    environment.log().record(what);
}
