//! The invariant of services from a registry: `registry-fresh`.
//!
//! It rests on the builds that factories record, and on the services that were resolved: see [`crate::model::wiring`].
//!
//! Not checked: anything in a history in which a change of the registry was cancelled or failed; services that were built and
//! never resolved by a command of the plan; which of several overrides wins that began at the same time; that a warm-up builds
//! everything.

use std::collections::BTreeMap;

use super::checked::Checked;
use super::view::View;
use crate::history::Outcome;
use crate::model::wiring::{Built, Change, Registry, Resolution, Substitute, Wiring};
use crate::plan::{Build, Service};
use crate::verdict::Invariant;

/// A resolved service is up to date and belongs to its scope; a singleton is built once; an override lasts as long as
/// its guard, and applies to its own registry alone.
pub fn registry_fresh(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    let wiring = &view.facts.wiring;
    if wiring.uncertain {
        return checked;
    }
    let mut sharing = Sharing::default();
    for resolution in &wiring.resolutions {
        checked.evaluated += 1;
        let parts = wiring.closure(resolution.build);
        let wrong = wrong_substitute(wiring, resolution, &parts)
            .or_else(|| out_of_date(view, wiring, resolution, &parts))
            .or_else(|| sharing.wrong(view, wiring, resolution, &parts));
        if let Some((expected, observed)) = wrong {
            checked.found(view, Invariant::RegistryFresh, resolution.at, expected, observed);
        }
    }
    built_twice(view, wiring, &mut checked);
    checked
}

/// The expected and the observed service.
type Wrong = (String, String);

/// An override is resolved by everybody who shares the registry while it is active, and only then.
fn wrong_substitute(wiring: &Wiring<'_>, resolution: &Resolution, parts: &[Build]) -> Option<Wrong> {
    let Resolution { registry, service, build, from, at, .. } = *resolution;
    let mine = || wiring.substitutes.iter().filter(|it| it.registry == registry && it.service == service);
    if let Some(due) = newest(mine(), from, at)
        && !mine().any(|it| it.build == build && it.sometime(from, at) && !is_older(it, due))
    {
        return Some((format!("{}, which overrides `{service}`", due.build), build.to_string()));
    }
    parts.iter().find_map(|&part| {
        let substitute = wiring.substitute(part)?;
        let service = substitute.service;
        let observed = if part == build { format!("{part}") } else { format!("{build}, made from {part}") };
        if substitute.registry != registry {
            Some((format!("a `{service}` of its own registry, not {part}, an override of another"), observed))
        } else if !substitute.sometime(0, at) || substitute.until.is_some_and(|it| it.1 < from) {
            Some((format!("not {part}: its time as `{service}` is over"), observed))
        } else {
            None
        }
    })
}

/// The newest of the overrides that were active all the time between these events: the last one counts.
fn newest<'a>(all: impl Iterator<Item = &'a Substitute>, from: usize, at: usize) -> Option<&'a Substitute> {
    all.filter(|it| it.throughout(from, at)).max_by_key(|it| it.from.0)
}

/// Whether this override was surely there before the other one began.
fn is_older(this: &Substitute, other: &Substitute) -> bool {
    this.from.1 < other.from.0
}

/// What was resolved, and all that it was made from, is younger than every change that it should show.
fn out_of_date(view: &View<'_>, wiring: &Wiring<'_>, resolution: &Resolution, parts: &[Build]) -> Option<Wrong> {
    let ordinary = |it: &Build| wiring.substitute(*it).is_none();
    parts.iter().copied().filter(ordinary).find_map(|part| {
        let built = wiring.builds.get(&part)?;
        let Built { service, at, .. } = *built;
        let shows = |it: &&Change| {
            it.registry == resolution.registry && service.depends_on(it.service) && (it.itself || it.service != service)
        };
        let missed = wiring.changes.iter().filter(shows).find(|it| at < it.from && it.until < resolution.from);
        if let Some(missed) = missed {
            let expected = format!("a `{service}` that was built after `{}` had changed", missed.service);
            return Some((expected, format!("{part}, which is older")));
        }
        made_from_the_original(view, wiring, built, part)
    })
}

/// The first moment at which this may have been under way.
fn began(view: &View<'_>, built: &Built<'_>) -> usize {
    built.by.and_then(|it| view.facts.spans.get(it)).map_or(0, |it| it.invoked)
}

/// While an override of a part was active, the whole was made from something else.
fn made_from_the_original(view: &View<'_>, wiring: &Wiring<'_>, built: &Built<'_>, whole: Build) -> Option<Wrong> {
    let began = began(view, built);
    built.parts.iter().find_map(|part| {
        let service = wiring.builds.get(part)?.service;
        let of_it = |it: &&Substitute| it.registry == built.registry && it.service == service;
        let due = newest(wiring.substitutes.iter().filter(of_it), began, built.at)?;
        let is_due = wiring.substitute(*part).is_some_and(|it| !is_older(it, due));
        (!is_due).then(|| {
            (format!("{whole} made from {}, which overrides `{service}`", due.build), format!("made from {part}"))
        })
    })
}

/// The builds resolved so far, and their places.
#[derive(Default)]
struct Sharing {
    /// The session that a scoped service belongs to, and the registry of every service.
    owners: BTreeMap<Build, (Option<usize>, Registry)>,
    /// The last build that was resolved, by its place.
    last: BTreeMap<(Option<usize>, Registry, Service), Resolution>,
}

impl Sharing {
    /// All that share a place get the same build, and no other place gets it.
    fn wrong(
        &mut self,
        view: &View<'_>,
        wiring: &Wiring<'_>,
        resolution: &Resolution,
        parts: &[Build],
    ) -> Option<Wrong> {
        let Resolution { registry, service, build, at, .. } = *resolution;
        let session = view.session(resolution.by).map(|it| it.0);
        for part in parts.iter().copied().filter(|part| wiring.substitute(*part).is_none()) {
            let of = wiring.builds.get(&part)?.service;
            let mine = (session.filter(|_| of.is_scoped()), registry);
            let owner = *self.owners.entry(part).or_insert(mine);
            if owner != mine {
                let whose = if owner.1 == registry { "another session" } else { "another registry" };
                return Some((format!("a `{of}` of its own"), format!("{part}, which belongs to {whose}")));
            }
        }
        if wiring.substitute(build).is_some() {
            return None;
        }
        let place = (session.filter(|_| service.is_scoped()), registry, service);
        let before = self.last.insert(place, *resolution)?;
        let since = began(view, wiring.builds.get(&before.build)?);
        if before.build == build || wiring.changed(registry, service, since, at) {
            return None;
        }
        Some((format!("{}, as before: nothing has changed", before.build), build.to_string()))
    }
}

/// Of what everybody shares there is one, unless there was reason to build another.
fn built_twice(view: &View<'_>, wiring: &Wiring<'_>, checked: &mut Checked) {
    let mut last: BTreeMap<(Registry, Service), &Built<'_>> = BTreeMap::new();
    for (build, built) in wiring.builds.iter().filter(|it| !it.1.service.is_scoped()) {
        if wiring.substitute(*build).is_some() {
            continue;
        }
        let Built { service, registry, at, .. } = *built;
        let Some(before) = last.insert((registry, service), built) else { continue };
        let before = began(view, before);
        checked.evaluated += 1;
        if !wiring.changed(registry, service, before, at) && !was_interrupted(view, before, at) {
            let expected = format!("one `{service}`: nothing has changed since it was built");
            checked.found(view, Invariant::RegistryFresh, at, expected, format!("it was built again, as {build}"));
        }
    }
}

/// Whether a command that was under way between these events failed: its build may have been dropped with it.
fn was_interrupted(view: &View<'_>, from: usize, until: usize) -> bool {
    view.facts.spans.values().any(|it| {
        let not_done = !matches!(it.outcome, Some(Outcome::Done(_)));
        not_done && it.invoked < until && it.returned.is_none_or(|it| it > from)
    })
}
