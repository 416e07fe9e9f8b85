//! The observers, which check a system after the plan.

use crate::capability::{Capabilities, Capability};
use crate::plan::{Actor, Command, Key, Plan, Service, Step, Value, Wanted};

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
