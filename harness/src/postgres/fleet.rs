//! Which server a plan runs on.
//!
//! Owns the servers that plans have for themselves because they do something to the whole of one. They are given back, and
//! started for the first time when there is none left: at most as many as plans run at once. All others share one.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

use super::server::{Server, ServerError};

/// A server for one plan.
pub(crate) enum Berth {
    /// The one that everybody shares.
    Shared(&'static Server),
    /// Nobody else's until this is dropped; none only then.
    Own(Option<Box<Server>>),
}

static FREE: Mutex<Vec<Box<Server>>> = Mutex::new(Vec::new());

impl Berth {
    /// The shared server, or one of its own.
    ///
    /// # Errors
    /// The server could not be started.
    pub(crate) fn take(own: bool) -> Result<Self, ServerError> {
        if !own {
            return Server::shared().map(Self::Shared);
        }
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let server = match free {
            Some(server) => server,
            None => Box::new(Server::start()?),
        };
        Ok(Self::Own(Some(server)))
    }
}

impl Deref for Berth {
    type Target = Server;

    fn deref(&self) -> &Server {
        match self {
            Self::Shared(server) => server,
            Self::Own(server) => server.as_ref().expect("only taken when it is dropped"),
        }
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        if let Self::Own(server) = self
            && let Some(server) = server.take()
        {
            // One that is down, since a plan was given up while it restarted, is started again, or thrown away.
            let is_up = server.processes().is_ok_and(|it| !it.is_empty()) || server.start_again().is_ok();
            if is_up {
                FREE.lock().unwrap_or_else(PoisonError::into_inner).push(server);
            }
        }
    }
}
