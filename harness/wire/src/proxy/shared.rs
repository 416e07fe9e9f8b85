//! What the proxy's thread and the threads of its users have in common.

use std::net::SocketAddr;
use std::sync::Arc;

use super::arming::Armings;
use super::hold::Hold;
use super::ledger::Ledger;
use super::watch::Watch;

/// What the proxy's thread and others use.
pub(super) struct Shared {
    pub(super) server: SocketAddr,
    pub(super) watch: Arc<dyn Watch>,
    pub(super) armings: Armings,
    pub(super) hold: Hold,
    pub(super) ledger: Ledger,
}
