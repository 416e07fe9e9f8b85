//! A system with its type forgotten: so what runs plans is compiled once, and not once for each system.
//!
//! Owns the way from a [`System`] to objects. The executor and the worker know nothing else of a system.

use crate::capability::Capabilities;
use crate::database::Database;
use crate::history::{Failure, Report};
use crate::local::Local;
use crate::port::Port;
use crate::system::System;

type Start = for<'a> fn(&'a Database) -> Local<'a, Result<Box<dyn Started>, Failure>>;

/// How a system starts, and what it can do.
#[derive(Clone, Copy)]
pub(crate) struct Starter {
    pub(crate) capabilities: Capabilities,
    pub(crate) start: Start,
}

impl Starter {
    pub(crate) fn of<S: System>() -> Self {
        Self { capabilities: S::capabilities(), start: |database| Box::pin(start::<S>(database)) }
    }
}

async fn start<S: System>(database: &Database) -> Result<Box<dyn Started>, Failure> {
    Ok(Box::new(S::start(database).await?))
}

/// A system that has started. Its methods are those of [`System`].
pub(crate) trait Started {
    fn actor(&self, port: Port) -> Local<'_, ()>;
    fn report(&self) -> Local<'_, Report>;
    fn stop(&self) -> Local<'_, ()>;
}

impl<S: System> Started for S {
    fn actor(&self, port: Port) -> Local<'_, ()> {
        Box::pin(System::actor(self, port))
    }

    fn report(&self) -> Local<'_, Report> {
        Box::pin(System::report(self))
    }

    fn stop(&self) -> Local<'_, ()> {
        Box::pin(System::stop(self))
    }
}
