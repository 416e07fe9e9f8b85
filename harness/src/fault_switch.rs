//! The switch of the faults that a database's own hooks inject.
//!
//! Owns which of them is armed. The plan's database arms it and the hooks of its connections, on the driver's threads, take
//! it. That a fault has landed is recorded by the hook that injected it; nothing of the switch is history.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::plan::Fault;

/// Which fault the next hook is to inject. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct FaultSwitch {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    interrupt: AtomicBool,
    refuse_commit: AtomicBool,
}

impl FaultSwitch {
    /// Arms a fault for the running command, or disarms all.
    pub(crate) fn arm(&self, fault: Option<Fault>) {
        self.shared.interrupt.store(fault == Some(Fault::Interrupt), Ordering::Release);
        self.shared.refuse_commit.store(fault == Some(Fault::RefuseCommit), Ordering::Release);
    }

    /// Whether the statement that executes now is to be interrupted. Only the first hook that asks injects it.
    pub(crate) fn take_interrupt(&self) -> bool {
        take(&self.shared.interrupt)
    }

    /// Whether the commit that happens now is to be refused. Only the first hook that asks injects it.
    pub(crate) fn take_refuse_commit(&self) -> bool {
        take(&self.shared.refuse_commit)
    }
}

fn take(armed: &AtomicBool) -> bool {
    armed.load(Ordering::Acquire) && armed.swap(false, Ordering::AcqRel)
}
