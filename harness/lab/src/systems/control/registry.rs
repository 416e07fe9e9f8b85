//! The control's registry of services: what was built, what overrides it, and what is out of date.
//!
//! It builds one shared service at a time, and remembers with each build the version that it was begun in: a change
//! meanwhile makes it out of date at once.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;

use tokio::sync::Mutex;

use super::Flaw;
use crate::systems::unstale::others_go_on;
use unstale_harness::history::{BuildRecorder, Failure};
use unstale_harness::plan::{Build, Service, Wanted};

/// A build, and the version that it was begun in.
type Kept = BTreeMap<Service, (Build, u32)>;

/// The builds that one session has, or that everybody shares.
pub(super) type Cache = Rc<RefCell<Kept>>;

/// A registry of services.
pub(super) struct Registry {
    build_recorder: BuildRecorder,
    shared: Cache,
    /// Only one shared service is built at a time.
    building: Mutex<()>,
    versions: RefCell<BTreeMap<Service, u32>>,
    overrides: Rc<RefCell<Vec<Override>>>,
    guards: Cell<u32>,
    flaw: Option<Flaw>,
}

/// What is given out for a service while its guard is kept.
struct Override {
    guard: u32,
    service: Service,
    build: Build,
}

/// Keeps an override in force.
pub(super) struct Guard {
    registry: Rc<Registry>,
    number: u32,
    service: Service,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let of_all = self.registry.has(Flaw::RestoresAll);
        let is_taken_back = |other: &Override| other.guard == self.number || of_all && other.service == self.service;
        self.registry.overrides.borrow_mut().retain(|other| !is_taken_back(other));
        self.registry.invalidate_dependents(self.service);
    }
}

impl Registry {
    pub(super) fn new(build_recorder: BuildRecorder, flaw: Option<Flaw>) -> Rc<Self> {
        Self::with(build_recorder, flaw, Rc::default(), Rc::default())
    }

    fn with(
        build_recorder: BuildRecorder,
        flaw: Option<Flaw>,
        overrides: Rc<RefCell<Vec<Override>>>,
        shared: Cache,
    ) -> Rc<Self> {
        Rc::new(Self {
            build_recorder,
            shared,
            building: Mutex::new(()),
            versions: RefCell::default(),
            overrides,
            guards: Cell::new(0),
            flaw,
        })
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Another registry, independent of this one.
    pub(super) fn fork(&self) -> Rc<Self> {
        let overrides = if self.has(Flaw::SharesOverrides) { Rc::clone(&self.overrides) } else { Rc::default() };
        let shared = if self.has(Flaw::ForkShares) { Rc::clone(&self.shared) } else { Rc::default() };
        Self::with(self.build_recorder.clone(), self.flaw, overrides, shared)
    }

    /// What is wanted, with `mine` for what belongs to a session.
    pub(super) async fn resolve(&self, wanted: Wanted, mine: &Cache) -> Result<Vec<Build>, Failure> {
        let services = match wanted {
            Wanted::One(service) => vec![service],
            Wanted::Channels => Service::CHANNELS.to_vec(),
        };
        let mut builds = Vec::new();
        for service in services {
            builds.push(self.one(service, mine).await);
        }
        Ok(builds)
    }

    fn one<'a>(&'a self, service: Service, mine: &'a Cache) -> Pin<Box<dyn Future<Output = Build> + 'a>> {
        Box::pin(async move {
            if let Some(build) = self.overriding(service) {
                return build;
            }
            let is_mine = service.is_scoped() && !self.has(Flaw::SharesScoped);
            let kept = if is_mine { mine } else { &self.shared };
            if let Some(build) = self.current(service, kept) {
                return build;
            }
            let version = self.version(service);
            let mut parts = Vec::new();
            for need in service.needs() {
                parts.push(self.one(*need, mine).await);
            }
            let turn = if service.is_scoped() || self.has(Flaw::BuildsTwice) {
                None
            } else {
                Some(self.building.lock().await)
            };
            // Another actor may have built it meanwhile.
            if let Some(build) = self.current(service, kept).filter(|_| turn.is_some()) {
                return build;
            }
            if !parts.is_empty() {
                others_go_on().await;
            }
            let version = if self.has(Flaw::MissesRacing) { self.version(service) } else { version };
            let build = self.build_recorder.built(service, &parts);
            kept.borrow_mut().insert(service, (build, version));
            build
        })
    }

    /// The newest override of the service.
    fn overriding(&self, service: Service) -> Option<Build> {
        let overrides = self.overrides.borrow();
        let mut newest_first = overrides.iter().rev().filter(|other| other.service == service);
        let newest = newest_first.next()?;
        let chosen = newest_first.next().filter(|_| self.has(Flaw::PrefersOlderOverride)).unwrap_or(newest);
        Some(chosen.build)
    }

    /// What is kept, if it is not out of date.
    fn current(&self, service: Service, kept: &Cache) -> Option<Build> {
        let (build, version) = *kept.borrow().get(&service)?;
        let is_kept = service.is_scoped() || !self.has(Flaw::BuildsAlways);
        (is_kept && version == self.version(service)).then_some(build)
    }

    fn version(&self, service: Service) -> u32 {
        self.versions.borrow().get(&service).copied().unwrap_or(0)
    }

    /// Makes the service out of date, and everything that is made from it.
    pub(super) fn invalidate(&self, service: Service) {
        self.outdate(service);
        self.invalidate_dependents(service);
    }

    /// Makes everything out of date that is made from this service.
    fn invalidate_dependents(&self, service: Service) {
        let direct = self.has(Flaw::MissesTransitive);
        let is_made_from =
            |other: &Service| if direct { other.needs().contains(&service) } else { other.depends_on(service) };
        let others = Service::ALL.into_iter().filter(|other| *other != service);
        others.filter(is_made_from).for_each(|other| self.outdate(other));
    }

    fn outdate(&self, service: Service) {
        *self.versions.borrow_mut().entry(service).or_default() += 1;
    }

    /// Overrides the service, for as long as the guard is kept.
    pub(super) fn override_with_new(self: &Rc<Self>, service: Service) -> (Build, Guard) {
        let build = self.build_recorder.built(service, &[]);
        let number = self.guards.replace(self.guards.get() + 1);
        self.overrides.borrow_mut().push(Override { guard: number, service, build });
        self.invalidate_dependents(service);
        (build, Guard { registry: Rc::clone(self), number, service })
    }

    /// Builds everything that lives for ever.
    pub(super) async fn warm_up(&self) -> Result<(), Failure> {
        let nobody = Cache::default();
        for service in Service::ALL.into_iter().filter(|service| !service.is_scoped()) {
            self.one(service, &nobody).await;
        }
        Ok(())
    }
}
