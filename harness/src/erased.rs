//! A system with its type erased, so that the code that runs plans is compiled once and not once for each system.
//!
//! Owns the step from a system's type to trait objects. The stage and the worker know nothing else of a system.

use crate::capability::Capabilities;
use crate::database::Database;
use crate::history::{Failure, Report};
use crate::local::Local;
use crate::plan::Plan;
use crate::port::Port;
use crate::system::System;

type Start<P> = for<'a> fn(&'a P, &'a Plan) -> Local<'a, Result<Box<dyn Started>, Failure>>;

/// How a system starts in a place of its kind, a database for one, and what it can do.
pub struct Starter<P> {
    /// What it can do.
    pub capabilities: Capabilities,
    /// Starts it there, for this plan.
    pub start: Start<P>,
}

impl<P> Clone for Starter<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Starter<P> {}

impl Starter<Database> {
    /// Returns the starter of this type.
    pub(crate) fn of<S: System>() -> Self {
        Self { capabilities: S::capabilities(), start: |database, _| Box::pin(start::<S>(database)) }
    }
}

async fn start<S: System>(database: &Database) -> Result<Box<dyn Started>, Failure> {
    Ok(Box::new(S::start(database).await?))
}

/// A running system. Its methods are those of [`System`].
pub trait Started {
    /// Runs one actor until its port has no more commands.
    fn actor(&self, port: Port) -> Local<'_, ()>;

    /// Returns the system's report about itself.
    fn report(&self) -> Local<'_, Report>;

    /// Gives everything back.
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
