//! An application over the library: its services in a registry, and the units of work that actors are.
//!
//! Owns what an application would own: the services, and the contents of a unit of work. It uses the library and keeps
//! no state machine of its own.

use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Poll;

use unstale::registry::{Dep, Name, Override, Registry, ResolveError};
use unstale::source::Source;
use unstale::testing::Fixture;
use unstale::{Handle, Scope, Sessions};

use unstale_harness::history::{BuildRecorder, Failure};
use unstale_harness::plan::{Build, Service, Wanted};

const CHANNELS: &str = "channels";

struct Settings(Build);

/// A way to reach people.
struct Channel(Build);

struct MailerName;

impl Name for MailerName {
    const NAME: &'static str = "mailer";
}

const PAGER: &str = "pager";

/// The repository.
pub(super) struct Rows<S: Source> {
    pub(super) db: Handle<S>,
    build: Build,
}

struct Report(Build);

/// An application over the library.
pub(super) struct Application<S: Source> {
    sessions: Sessions<S>,
    registry: Registry<S>,
    build_recorder: BuildRecorder,
    fixture: RefCell<Option<Fixture<S>>>,
}

impl<S: Source> Application<S> {
    /// An application over these sessions.
    pub(super) fn new(sessions: Sessions<S>, build_recorder: BuildRecorder) -> Self {
        let mut services = Registry::builder();
        services.instance(sessions.clone());
        let make = build_recorder.clone();
        services.singleton(move || Settings(make.built(Service::Settings, &[])));
        let make = build_recorder.clone();
        let mailer = move |settings: Dep<Settings>| {
            let make = make.clone();
            async move {
                others_go_on().await;
                Ok::<_, ResolveError>(Channel(make.built(Service::Mailer, &[settings.0])))
            }
        };
        services.singleton_async(mailer).named(MailerName::NAME).tagged(CHANNELS);
        let make = build_recorder.clone();
        services.singleton(move || Channel(make.built(Service::Pager, &[]))).named(PAGER).tagged(CHANNELS);
        let make = build_recorder.clone();
        services.scoped(move |db: Handle<S>| Rows { db, build: make.built(Service::Rows, &[]) });
        let make = build_recorder.clone();
        services.scoped_async(move |rows: Dep<Rows<S>>, mailer: Dep<Channel, MailerName>| {
            let make = make.clone();
            async move {
                others_go_on().await;
                Ok::<_, ResolveError>(Report(make.built(Service::Report, &[rows.build, mailer.0])))
            }
        });
        let registry = services.build().expect("they fit together");
        Self { sessions, registry, build_recorder, fixture: RefCell::default() }
    }

    /// The application's own sessions.
    pub(super) fn sessions(&self) -> &Sessions<S> {
        &self.sessions
    }

    /// Begins a test: from here on everything happens inside it.
    ///
    /// # Errors
    /// What the fixture answers.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn begin_test(&self) -> Result<(), Failure> {
        let test = Fixture::begin(&self.sessions).await?;
        test.join(&self.registry)?;
        *self.fixture.borrow_mut() = Some(test);
        Ok(())
    }

    /// Ends the test if there is one, and closes the sessions.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn stop(&self) {
        if let Some(test) = self.fixture.take() {
            // What it answers is judged by what is left in the database.
            let _ = test.end().await;
        }
        self.sessions.close();
    }
}

impl<S: Source> Drop for Application<S> {
    fn drop(&mut self) {
        // Here only after a plan that hung. A test that was not isolated panics, and has been judged already.
        let test = self.fixture.take();
        drop(catch_unwind(AssertUnwindSafe(|| drop(test))));
    }
}

/// What one actor holds.
pub(super) struct Unit<'a, S: Source> {
    application: &'a Application<S>,
    pub(super) scope: Option<Scope<S>>,
    registry: Registry<S>,
    guards: Vec<Override<S>>,
    /// The repository that it resolved last.
    resolved: RefCell<Option<Dep<Rows<S>>>>,
}

impl<'a, S: Source> Unit<'a, S> {
    pub(super) fn new(application: &'a Application<S>) -> Self {
        let (registry, resolved) = (application.registry.clone(), RefCell::default());
        Self { application, scope: None, registry, guards: Vec::new(), resolved }
    }

    /// The sessions that the registry has now: inside a test, the test's.
    pub(super) async fn sessions(&self) -> Result<Dep<Sessions<S>>, Failure> {
        Ok(self.registry.resolve().await?)
    }

    pub(super) async fn open(&self) -> Result<Scope<S>, Failure> {
        Ok(self.sessions().await?.open("actor").await?)
    }

    pub(super) async fn rows(&self, scope: &Scope<S>) -> Result<Dep<Rows<S>>, Failure> {
        Ok(self.registry.enter(scope).resolve().await?)
    }

    /// The repository that it resolved last, whether or not its scope is still there.
    pub(super) fn resolved(&self) -> Option<Dep<Rows<S>>> {
        self.resolved.borrow().clone()
    }

    pub(super) async fn resolve(&self, wanted: Wanted) -> Result<Vec<Build>, Failure> {
        let builds = match &self.scope {
            Some(scope) => self.resolve_in(scope, wanted).await,
            None => self.resolve_outside(wanted).await,
        };
        Ok(builds?)
    }

    async fn resolve_in(&self, scope: &Scope<S>, wanted: Wanted) -> Result<Vec<Build>, ResolveError> {
        let services = self.registry.enter(scope);
        Ok(vec![match wanted {
            Wanted::One(Service::Settings) => services.resolve::<Settings>().await?.0,
            Wanted::One(Service::Mailer) => services.resolve_named::<Channel>(MailerName::NAME).await?.0,
            Wanted::One(Service::Pager) => services.resolve_named::<Channel>(PAGER).await?.0,
            Wanted::One(Service::Rows) => {
                let rows = services.resolve::<Rows<S>>().await?;
                self.resolved.borrow_mut().insert(rows).build
            }
            Wanted::One(Service::Report) => services.resolve::<Report>().await?.0,
            Wanted::Channels => {
                let channels = services.resolve_tagged::<Channel>(CHANNELS).await?;
                return Ok(channels.iter().map(|it| it.0).collect());
            }
        }])
    }

    async fn resolve_outside(&self, wanted: Wanted) -> Result<Vec<Build>, ResolveError> {
        let registry = &self.registry;
        Ok(vec![match wanted {
            Wanted::One(Service::Settings) => registry.resolve::<Settings>().await?.0,
            Wanted::One(Service::Mailer) => registry.resolve_named::<Channel>(MailerName::NAME).await?.0,
            Wanted::One(Service::Pager) => registry.resolve_named::<Channel>(PAGER).await?.0,
            Wanted::One(Service::Rows) => registry.resolve::<Rows<S>>().await?.build,
            Wanted::One(Service::Report) | Wanted::Channels => registry.resolve::<Report>().await?.0,
        }])
    }

    /// Overrides the service.
    pub(super) fn stand_in(&mut self, service: Service) -> Result<Build, Failure> {
        let build = self.application.build_recorder.built(service, &[]);
        let registry = &self.registry;
        let guard = match service {
            Service::Settings => registry.override_with(Settings(build)),
            Service::Mailer | Service::Pager => registry.override_named(name(service), Channel(build)),
            Service::Rows | Service::Report => registry.override_with(Report(build)),
        };
        self.guards.push(guard?);
        Ok(build)
    }

    pub(super) fn restore(&mut self) {
        drop(self.guards.pop());
    }

    pub(super) fn invalidate(&self, service: Service) -> Result<(), Failure> {
        let registry = &self.registry;
        let done = match service {
            Service::Settings => registry.invalidate::<Settings>(),
            Service::Mailer | Service::Pager => registry.invalidate_named::<Channel>(name(service)),
            Service::Rows => registry.invalidate::<Rows<S>>(),
            Service::Report => registry.invalidate::<Report>(),
        };
        Ok(done?)
    }

    pub(super) async fn warm_up(&self) -> Result<(), Failure> {
        Ok(self.registry.warm_up().await?)
    }

    pub(super) fn fork(&mut self) {
        self.registry = self.registry.fork();
    }

    /// What a unit of work has when it panics; the rest of it goes on without.
    pub(super) fn take_all(&mut self) -> (Option<Scope<S>>, Vec<Override<S>>) {
        self.registry = self.application.registry.clone();
        self.resolved.take();
        (self.scope.take(), std::mem::take(&mut self.guards))
    }
}

fn name(service: Service) -> &'static str {
    if service == Service::Pager { PAGER } else { MailerName::NAME }
}

/// A panic while this is held.
pub(crate) fn panic_with<T>(held: T) {
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _held = held;
        // Without the hook, which would print it.
        resume_unwind(Box::new("the unit of work panics"));
    }));
    drop(unwound);
}

/// A gate within a factory.
pub(crate) async fn others_go_on() {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
