//! The proxy's records: its connections, and how much it has seen.
//!
//! Owns the figures that [`super::Proxy::connections`] and [`super::Proxy::counters`] answer. The proxy's thread writes them,
//! any thread reads them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many connections are remembered; beyond that the oldest closed ones are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// One connection between a client and the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Counted from 1 in the order of their startup messages.
    pub id: u32,
    /// The process that serves it; none before the client is authenticated.
    pub pid: Option<u32>,
    /// Requests that were passed on.
    pub requests: u64,
    /// Requests that the server has answered to their end (`ReadyForQuery`).
    pub answered: u64,
    /// Requests whose whole answer was passed on to the client.
    pub delivered: u64,
    /// The status of its transaction when the server last said so: `I`, `T` or `E`.
    pub status: Option<u8>,
    /// Whether it has neither ended nor been cut.
    pub open: bool,
}

/// What a proxy has seen in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Clients that connected, whatever they said.
    pub accepted: u64,
    /// Those of them that sent a startup message.
    pub connections: u64,
    /// Cancel requests that were passed on.
    pub cancels: u64,
    /// Requests that were passed on.
    pub requests: u64,
    /// Bytes that were passed on to the server.
    pub to_server: u64,
    /// Bytes that were passed on to clients.
    pub to_clients: u64,
    /// How often something that was armed landed.
    pub landed: u64,
}

impl Connection {
    /// Whether a request was passed on that the server has not answered to its end.
    pub fn is_outstanding(&self) -> bool {
        self.requests > self.answered
    }
}

#[derive(Default)]
pub(super) struct Ledger {
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    connections: BTreeMap<u32, Connection>,
    counters: Counters,
}

impl Ledger {
    /// A connection has begun: its number.
    pub(super) fn open(&self) -> u32 {
        let mut pages = self.lock();
        let id = pages.connections.last_key_value().map_or(1, |(id, _)| id + 1);
        pages.connections.insert(id, Connection { id, open: true, ..Connection::default() });
        pages.counters.connections += 1;
        if pages.connections.len() > REMEMBERED_MAX {
            let oldest = pages.connections.values().find(|it| !it.open).map(|it| it.id);
            oldest.map(|id| pages.connections.remove(&id));
        }
        id
    }

    /// Corrects what is known about a connection.
    pub(super) fn note(&self, id: u32, note: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.lock().connections.get_mut(&id) {
            note(connection);
        }
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut self.lock().counters);
    }

    pub(super) fn connection(&self, id: u32) -> Option<Connection> {
        self.lock().connections.get(&id).cloned()
    }

    pub(super) fn connections(&self) -> Vec<Connection> {
        self.lock().connections.values().cloned().collect()
    }

    pub(super) fn counters(&self) -> Counters {
        self.lock().counters
    }

    /// The latest connection that this process serves, or served.
    pub(super) fn served_by(&self, pid: u32) -> Option<u32> {
        self.lock().connections.values().rev().find(|it| it.pid == Some(pid)).map(|it| it.id)
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        // Figures, each of them whole at every point.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
