//! One handle to the three receivers of a plan's database: log, heartbeat and fault switch.
//!
//! Owns no state of its own. The code that makes a database receives it, and each consumer takes the part that it uses:
//! the [`Log`] is history, the [`Heartbeat`] is for the watch, the [`FaultSwitch`] is for the hooks that inject faults.

#[cfg(feature = "sqlite")]
use crate::fault_switch::FaultSwitch;
use crate::heartbeat::Heartbeat;
use crate::history::Log;

/// The log, the heartbeat and the fault switch of one plan. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    pub(crate) log: Log,
    pub(crate) heartbeat: Heartbeat,
    #[cfg(feature = "sqlite")]
    pub(crate) faults: FaultSwitch,
}

impl Recorder {
    /// Changes whenever something moves, an event or a step of a statement.
    pub(crate) fn signs(&self) -> u64 {
        self.log.appended() + self.heartbeat.beats()
    }
}
