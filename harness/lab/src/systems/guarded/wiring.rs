//! The registry of `guarded`, as small as can be: what was built, what stands in, and what is out of date.
//!
//! It builds one shared service at a time, and remembers with each build the version that it was begun in: whatever changed
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

/// What one session, or everybody, has of each service.
pub(super) type Cache = Rc<RefCell<Kept>>;

/// A registry of services.
pub(super) struct Registry {
    build_recorder: BuildRecorder,
    shared: Cache,
    /// Only one shared service is built at a time.
    building: Mutex<()>,
    versions: RefCell<BTreeMap<Service, u32>>,
    substitutes: Rc<RefCell<Vec<Substitute>>>,
    guards: Cell<u32>,
    flaw: Option<Flaw>,
}

/// What stands in for a service, while its guard is kept.
struct Substitute {
    guard: u32,
    service: Service,
    build: Build,
}

/// Whoever keeps it keeps something standing in.
pub(super) struct Guard {
    registry: Rc<Registry>,
    number: u32,
    service: Service,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.registry.substitutes.borrow_mut().retain(|it| it.guard != self.number);
        self.registry.outdate(self.service, false);
    }
}

impl Registry {
    pub(super) fn new(build_recorder: BuildRecorder, flaw: Option<Flaw>) -> Rc<Self> {
        Self::with(build_recorder, flaw, Rc::default())
    }

    fn with(build_recorder: BuildRecorder, flaw: Option<Flaw>, substitutes: Rc<RefCell<Vec<Substitute>>>) -> Rc<Self> {
        Rc::new(Self {
            build_recorder,
            shared: Rc::default(),
            building: Mutex::new(()),
            versions: RefCell::default(),
            substitutes,
            guards: Cell::new(0),
            flaw,
        })
    }

    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Another one, of which nobody else notices anything.
    pub(super) fn fork(&self) -> Rc<Self> {
        let substitutes = if self.has(Flaw::SharesOverrides) { Rc::clone(&self.substitutes) } else { Rc::default() };
        Self::with(self.build_recorder.clone(), self.flaw, substitutes)
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
            if let Some(substitute) = self.substitutes.borrow().iter().rev().find(|it| it.service == service) {
                return substitute.build;
            }
            let kept = if service.is_scoped() { mine } else { &self.shared };
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
            // Somebody else may have built it meanwhile.
            if let Some(build) = self.current(service, kept).filter(|_| turn.is_some()) {
                return build;
            }
            if !parts.is_empty() {
                others_go_on().await;
            }
            let build = self.build_recorder.built(service, &parts);
            kept.borrow_mut().insert(service, (build, version));
            build
        })
    }

    /// What is kept, if it is not out of date.
    fn current(&self, service: Service, kept: &Cache) -> Option<Build> {
        let (build, version) = *kept.borrow().get(&service)?;
        (version == self.version(service)).then_some(build)
    }

    fn version(&self, service: Service) -> u32 {
        self.versions.borrow().get(&service).copied().unwrap_or(0)
    }

    /// Lets everything that is made from this service be built anew, and the service too if `itself`.
    pub(super) fn outdate(&self, service: Service, itself: bool) {
        let affected = |it: Service| {
            let made_from =
                if self.has(Flaw::MissesTransitive) { it.needs().contains(&service) } else { it.depends_on(service) };
            if it == service { itself } else { made_from }
        };
        for it in Service::ALL.into_iter().filter(|it| affected(*it)) {
            *self.versions.borrow_mut().entry(it).or_default() += 1;
        }
    }

    /// Lets something stand in for the service.
    pub(super) fn stand_in(self: &Rc<Self>, service: Service) -> (Build, Guard) {
        let build = self.build_recorder.built(service, &[]);
        let number = self.guards.replace(self.guards.get() + 1);
        self.substitutes.borrow_mut().push(Substitute { guard: number, service, build });
        self.outdate(service, false);
        (build, Guard { registry: Rc::clone(self), number, service })
    }

    /// Builds everything that lives for ever.
    pub(super) async fn warm_up(&self) -> Result<(), Failure> {
        let nobody = Cache::default();
        for service in Service::ALL.into_iter().filter(|it| !it.is_scoped()) {
            self.one(service, &nobody).await;
        }
        Ok(())
    }
}
