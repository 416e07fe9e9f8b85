//! The status of a registry's services, for diagnostics.

use super::dep::Need;
use super::error::Step;
use super::lifecycle::Lifecycle;
use super::resolve::{Recipe, Registry};
use crate::source::Source;

/// How a service stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The service.
    pub service: Step,
    /// What its factory takes.
    pub needs: Vec<String>,
    /// Its tags.
    pub tags: Vec<&'static str>,
    /// Whether the shared service is built and up to date; none if the service is not shared.
    pub built: Option<bool>,
    /// Whether it is overridden.
    pub overridden: bool,
}

impl<S: Source> Registry<S> {
    /// The order in which services can be built: each after everything that it needs.
    pub fn order(&self) -> Vec<Step> {
        self.blueprint.graph.order.iter().map(|at| self.step(*at)).collect()
    }

    /// How each service stands, in the order of registration.
    pub fn status(&self) -> Vec<Status> {
        let status = |(at, recipe): (usize, &Recipe<S>)| {
            let live = &self.live[at];
            let shared = matches!(recipe.lifecycle, Lifecycle::Instance | Lifecycle::Singleton);
            let current = Some(live.version());
            let is_there = recipe.lifecycle == Lifecycle::Instance || live.slot.version() == current;
            let name = |need: &Need| match need {
                Need::Service(key) => key.to_string(),
                Need::Session => "the scope's session".to_owned(),
            };
            Status {
                service: self.step(at),
                needs: recipe.needs.iter().map(name).collect(),
                tags: recipe.tags.clone(),
                built: shared.then_some(is_there),
                overridden: live.is_overridden(),
            }
        };
        self.blueprint.recipes.iter().enumerate().map(status).collect()
    }
}
