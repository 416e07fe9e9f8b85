//! Orders to the proxy's thread, which carries them out at once.

use std::io;
use std::sync::mpsc::SyncSender;

/// What is to happen now; the answer goes to the thread that waits for it.
pub(super) enum Order {
    /// What is armed for idle connections.
    Idle(SyncSender<io::Result<()>>),
    /// The server is to end sessions that idle; of how many it did.
    TimeOut(SyncSender<io::Result<usize>>),
    /// What is armed for the listening socket.
    Refuse(SyncSender<io::Result<()>>),
    /// Everything, or nearly everything, is as it was.
    Heal(Healing, SyncSender<io::Result<()>>),
}

/// What is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Healing {
    /// Whatever lasts.
    Everything,
    /// All but connections whose peer is gone.
    Network,
}
