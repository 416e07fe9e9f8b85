//! The observers, which check a system after the plan.

use super::meaning::may_close_pool;
use crate::capability::{Capabilities, Capability};
use crate::history::History;
use crate::plan::{Actor, Command, Key, Service, Step, Value, Wanted};

/// The actors that look at the system after the plan: as many as there are connections, all at once, so that each
/// connection is borrowed again and one that was not given back is missed. A pool that may be closed by what happened is
/// asked for one session; one that was only to be closed, and was not, is looked at in full.
pub fn observers(history: &History, connections: u8, capabilities: Capabilities) -> Vec<Actor> {
    let open = || Step::from(Command::Open);
    if history.commands().values().any(may_close_pool) {
        return vec![Actor { steps: vec![open()] }];
    }
    (0..u32::from(connections))
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
