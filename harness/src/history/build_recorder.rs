//! The build recorder: numbers every service that is built.
//!
//! Owns the evidence of a registry's work. It is called by the factories themselves, which belong to the harness's side of a
//! system, so that no registry can say of a service what it is not.

use super::Log;
use crate::plan::{Build, Service};

/// Numbers services as they are built, and records what each was made from. Cheap to clone.
#[derive(Clone)]
pub struct BuildRecorder {
    log: Log,
}

impl BuildRecorder {
    /// Records into this history.
    pub fn new(log: Log) -> Self {
        Self { log }
    }

    /// A factory has built this service from these.
    pub fn built(&self, service: Service, parts: &[Build]) -> Build {
        self.log.built(service, parts)
    }
}
