//! The model of a registry: the services that were resolved, and the changes that should have replaced them.
//!
//! Owns the interpretation of a history's registry commands. The oracle judges the resolved services.
//! Nothing here depends on unknown outcomes of transactions: a registry is not transactional.

use std::collections::BTreeMap;

use crate::history::{By, ByCommand, History, Outcome, Reply, Span, What};
use crate::plan::{Build, Command, Phase, Service, Wanted};

/// A registry: the one that everybody shares, or the one that an actor went on with, named by the command that made it.
pub type Registry = Option<By>;

/// As many parts as no service exceeds by much, at any depth.
const PARTS_USUAL: usize = 16;

/// What a history says of its registries.
#[derive(Debug, Default)]
pub struct Wiring<'a> {
    /// What was built, by number.
    pub builds: BTreeMap<Build, Built<'a>>,
    /// What was resolved, in the order of the replies.
    pub resolutions: Vec<Resolution>,
    /// What should have let services be built anew.
    pub changes: Vec<Change>,
    /// The overrides of services.
    pub substitutes: Vec<Substitute>,
    /// A change whose effect is unknown, so that the check is skipped.
    pub uncertain: bool,
}

/// A service that was built.
#[derive(Clone, Copy, Debug)]
pub struct Built<'a> {
    /// Which one.
    pub service: Service,
    /// What it was made from.
    pub parts: &'a [Build],
    /// The event that says so.
    pub at: usize,
    /// For which command.
    pub by: Option<By>,
    /// In which registry.
    pub registry: Registry,
}

/// A service that was resolved.
#[derive(Clone, Copy, Debug)]
pub struct Resolution {
    /// By which command.
    pub by: By,
    /// From which registry.
    pub registry: Registry,
    /// Which service.
    pub service: Service,
    /// As which build.
    pub build: Build,
    /// When it was asked for.
    pub from: usize,
    /// When it was resolved.
    pub at: usize,
}

/// Something after which services have to be built anew.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// In which registry.
    pub registry: Registry,
    /// Which service changed; all that is made from it is affected.
    pub service: Service,
    /// Whether it is to be built anew itself: not while an override is active, nor when one ends.
    pub itself: bool,
    /// The event that began it.
    pub from: usize,
    /// The event by which it had happened.
    pub until: usize,
}

/// An override of a service.
#[derive(Clone, Copy, Debug)]
pub struct Substitute {
    /// In which registry.
    pub registry: Registry,
    /// For which service.
    pub service: Service,
    /// What it was.
    pub build: Build,
    /// The events that began it.
    pub from: (usize, usize),
    /// The events that ended it; none if it was active to the end.
    pub until: Option<(usize, usize)>,
}

impl Substitute {
    /// Whether it was active all the time between these events.
    pub fn throughout(&self, from: usize, until: usize) -> bool {
        self.from.1 < from && self.until.is_none_or(|it| it.0 > until)
    }

    /// Whether it may have been active at some moment between these events.
    pub fn sometime(&self, from: usize, until: usize) -> bool {
        self.from.0 < until && self.until.is_none_or(|it| it.1 > from)
    }
}

/// Where an actor stands.
#[derive(Default)]
struct Place {
    registry: Registry,
    /// Its guards: which substitutes they keep.
    guards: Vec<usize>,
    /// The last event of its own.
    last: usize,
}

impl<'a> Wiring<'a> {
    /// Reads a history. Empty for one without a registry.
    pub fn of(history: &'a History, spans: &ByCommand<Span<'_>>) -> Self {
        let mut wiring = Self::default();
        if !history.events.iter().any(|it| matches!(it.what, What::Built { .. })) {
            return wiring;
        }
        let actors = history.events.iter().filter_map(|event| event.by).map(|by| by.actor.index() + 1).max();
        let mut places: Vec<Place> = Vec::new();
        places.resize_with(actors.unwrap_or(0), Place::default);
        for (at, event) in history.events.iter().enumerate() {
            let place = event.by.map(|by| &mut places[by.actor.index()]);
            match (&event.what, event.by, place) {
                (What::Built { build, service, parts }, by, place) => {
                    let registry = place.and_then(|it| it.registry);
                    let built = Built { service: *service, parts, at, by, registry };
                    wiring.builds.insert(*build, built);
                }
                (What::Returned(outcome), Some(by), Some(place)) => {
                    if let Some(span) = spans.get(by) {
                        wiring.returned(by, span, outcome, at, place);
                    }
                    place.last = at;
                }
                (What::Ended | What::Panicked(_), _, Some(place)) => wiring.give_up_guards(place, place.last, at),
                (_, _, Some(place)) => place.last = at,
                _ => {}
            }
        }
        // A change that came to no end may have happened, at any time since.
        wiring.uncertain |= spans.values().any(|span| span.is_unfinished() && changes(&span.step.command));
        wiring
    }

    fn returned(&mut self, by: By, span: &Span<'_>, outcome: &Outcome, at: usize, place: &mut Place) {
        let registry = place.registry;
        let builds = match outcome {
            Outcome::Done(Reply::Services(builds)) => &builds[..],
            _ => &[],
        };
        match (&span.step.command, outcome) {
            (Command::Resolve(wanted), Outcome::Done(_)) => {
                let services = match wanted {
                    Wanted::One(service) => &[*service][..],
                    Wanted::Channels => &Service::CHANNELS,
                };
                let resolved = services.iter().zip(builds);
                let resolved = resolved.map(|(service, build)| (*service, *build));
                self.resolutions.extend(resolved.map(|(service, build)| Resolution {
                    by,
                    registry,
                    service,
                    build,
                    from: span.invoked,
                    at,
                }));
            }
            (Command::Override(service), Outcome::Done(_)) => {
                let Some(build) = builds.first() else { return };
                place.guards.push(self.substitutes.len());
                let (from, until) = ((span.invoked, at), None);
                self.substitutes.push(Substitute { registry, service: *service, build: *build, from, until });
                self.change(registry, *service, false, from);
            }
            (Command::Restore, Outcome::Done(_)) => {
                if let Some(guard) = place.guards.pop() {
                    self.give_up(guard, (span.invoked, at));
                }
            }
            (Command::Invalidate(service), Outcome::Done(_)) => {
                self.change(registry, *service, true, (span.invoked, at));
            }
            (Command::Fork, Outcome::Done(_)) => place.registry = Some(by),
            // A unit of work that panics ends, whatever its reply.
            (Command::Crash, _) => {
                self.give_up_guards(place, span.invoked, at);
                place.registry = None;
            }
            (_, Outcome::Cancelled(Phase::BeforeSend)) => {}
            (command, _) if changes(command) => self.uncertain = true,
            _ => {}
        }
    }

    fn change(&mut self, registry: Registry, service: Service, itself: bool, (from, until): (usize, usize)) {
        self.changes.push(Change { registry, service, itself, from, until });
    }

    fn give_up_guards(&mut self, place: &mut Place, from: usize, until: usize) {
        for guard in std::mem::take(&mut place.guards) {
            self.give_up(guard, (from, until));
        }
    }

    fn give_up(&mut self, guard: usize, when: (usize, usize)) {
        let substitute = &mut self.substitutes[guard];
        substitute.until = Some(when);
        let (registry, service) = (substitute.registry, substitute.service);
        self.change(registry, service, false, when);
    }

    /// A build, and all that it was made from.
    pub fn closure(&self, build: Build) -> Vec<Build> {
        let mut all = Vec::with_capacity(PARTS_USUAL);
        all.push(build);
        let mut at = 0;
        while let Some(next) = all.get(at) {
            let parts = self.builds.get(next).map_or(&[][..], |it| it.parts);
            for part in parts {
                if !all.contains(part) {
                    all.push(*part);
                }
            }
            at += 1;
        }
        all
    }

    /// The override that this build was made for, if it was no ordinary one.
    pub fn substitute(&self, build: Build) -> Option<&Substitute> {
        self.substitutes.iter().find(|it| it.build == build)
    }

    /// Whether something between these events gave reason to build this service anew.
    pub fn changed(&self, registry: Registry, service: Service, from: usize, until: usize) -> bool {
        let of_it = |it: &&Change| it.registry == registry && service.depends_on(it.service);
        self.changes.iter().filter(of_it).any(|it| it.from < until && it.until > from)
    }
}

/// Whether it changes what a registry gives out.
fn changes(command: &Command) -> bool {
    matches!(command, Command::Override(_) | Command::Restore | Command::Invalidate(_) | Command::Fork)
}
