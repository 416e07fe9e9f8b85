//! Hazard: a service holds, or is built from, what has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use unstale::registry::{Builder, Dep, Lifecycle, Name, Problem, Registry, ResolveError};
use unstale::{Handle, SqliteSource};

use crate::bed::{Fresh, own, put};

type Services = Builder<SqliteSource>;

/// A repository.
struct Rows {
    db: Handle<SqliteSource>,
}

impl Rows {
    fn new(db: Handle<SqliteSource>) -> Self {
        Self { db }
    }

    async fn put(&self, k: i64) -> sqlx::Result<()> {
        put(&self.db, k, k).await
    }
}

/// A service that holds it.
struct Accounts {
    rows: Dep<Rows>,
    settings: Dep<Settings>,
}

impl Accounts {
    fn new(rows: Dep<Rows>, settings: Dep<Settings>) -> Self {
        Self { rows, settings }
    }
}

#[derive(Debug, PartialEq)]
struct Settings(u32);

fn registry(register: impl FnOnce(&mut Services)) -> Registry<SqliteSource> {
    let mut services = Registry::builder();
    register(&mut services);
    services.build().unwrap_or_else(|error| panic!("{error}"))
}

fn problems(register: impl FnOnce(&mut Services)) -> Vec<Problem> {
    let mut services = Registry::builder();
    register(&mut services);
    services.build().map(drop).expect_err("they do not fit together").problems
}

fn application() -> Registry<SqliteSource> {
    registry(|services| {
        services.instance(Settings(1));
        services.scoped(Rows::new);
        services.scoped(Accounts::new);
    })
}

#[tokio::test]
async fn scoped_service_is_one_in_its_scope_and_another_in_the_next() {
    let fresh = Fresh::new().await;
    let registry = application();
    let (a, b) = (fresh.sessions.scope("a"), fresh.sessions.scope("b"));
    let one = registry.enter(&a).resolve::<Accounts>().await.expect("accounts");
    let again = registry.enter(&a).resolve::<Accounts>().await.expect("accounts");
    let other = registry.enter(&b).resolve::<Accounts>().await.expect("accounts");
    assert!(std::ptr::eq(&*one, &*again) && !std::ptr::eq(&*one, &*other));
    assert!(std::ptr::eq(&*one.settings, &*other.settings));
    let rows = registry.enter(&a).resolve::<Rows>().await.expect("rows");
    assert!(std::ptr::eq(&*one.rows, &*rows));
}

#[tokio::test]
async fn service_that_outlives_its_scope_is_refused_by_name() {
    let fresh = Fresh::new().await;
    let registry = application();
    let scope = fresh.sessions.scope("request 17");
    let services = registry.enter(&scope);
    let accounts = services.resolve::<Accounts>().await.expect("accounts");
    accounts.rows.put(1).await.expect("put");
    scope.end().await.expect("end");
    let refused = own(accounts.rows.put(2).await);
    assert!(refused.contains(concat!("the handle of `Rows`, obtained at ", file!(), ":")), "{refused}");
    assert!(refused.contains("scope `request 17`"), "{refused}");
    let error = services.resolve::<Rows>().await.map(drop).expect_err("the scope has ended");
    assert!(matches!(error, ResolveError::Stale(_)), "{error}");
}

#[tokio::test]
async fn handle_that_a_closure_keeps_behind_the_types_back_is_caught_at_its_use() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("start-up");
    let kept = scope.handle("a cache that is warmed at start-up");
    let registry = registry(|services| {
        services.singleton(move || Rows::new(kept.clone()));
    });
    let rows = registry.resolve::<Rows>().await.expect("it compiles, and it is built");
    scope.end().await.expect("end");
    assert!(own(rows.put(1).await).contains("the handle of `a cache that is warmed at start-up`"));
}

#[test]
fn singleton_that_would_hold_a_scoped_service_is_refused_with_the_whole_path() {
    struct Formatter;
    struct Mailer;
    let problems = problems(|services| {
        services.scoped(Rows::new);
        services.transient(|_: Dep<Rows>| Formatter);
        services.singleton(|_: Dep<Formatter>| Mailer);
    });
    let [problem @ Problem::Captive { .. }] = &problems[..] else { panic!("{problems:?}") };
    let text = problem.to_string();
    let order: Vec<_> = ["`Mailer` (singleton,", "→ `Formatter` (transient,", "→ `Rows` (scoped,", "make it scoped"]
        .iter()
        .map(|it| text.find(it).unwrap_or_else(|| panic!("no {it} in {text}")))
        .collect();
    assert!(order.is_sorted(), "{text}");
}

#[test]
fn singleton_that_would_hold_a_session_through_a_transient_is_refused() {
    struct Mailer;
    let problems = problems(|services| {
        services.transient(Rows::new);
        services.singleton(|_: Dep<Rows>| Mailer);
    });
    assert!(problems[0].to_string().contains(concat!("`Rows` (transient, ", file!(), ":")), "{}", problems[0]);
    assert!(problems[0].to_string().contains("takes the scope's session"), "{}", problems[0]);
}

#[test]
fn everything_that_does_not_fit_is_told_at_once() {
    struct Chicken;
    struct Egg;
    let problems = problems(|services| {
        services.instance(Settings(1));
        services.instance(Settings(2));
        services.scoped(Accounts::new);
        services.singleton(|_: Dep<Egg>| Chicken);
        services.singleton(|_: Dep<Chicken>| Egg);
    });
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    for part in ["duplicate: `Settings` is registered at", "takes `Rows`, which is not registered", "cycle: `Chicken`"]
    {
        assert!(texts.iter().any(|it| it.contains(part)), "no {part} in {texts:#?}");
    }
    assert_eq!(problems.len(), 3, "{texts:#?}");
}

#[test]
fn missing_service_names_what_may_have_been_meant() {
    let problems = problems(|services| {
        services.instance(Settings(1)).named("production");
        services.scoped(Rows::new);
        services.scoped(Accounts::new);
    });
    assert!(problems[0].to_string().contains("(there is `Settings named production`)"), "{}", problems[0]);
}

struct Production;

impl Name for Production {
    const NAME: &'static str = "production";
}

#[tokio::test]
async fn services_of_one_type_are_told_apart_by_name_and_gathered_by_tag() {
    struct Chosen(Dep<Settings, Production>);
    let registry = registry(|services| {
        services.instance(Settings(1)).tagged("all");
        services.instance(Settings(2)).named("production").tagged("all");
        services.instance(Settings(3)).named("staging");
        services.singleton(Chosen);
    });
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let services = registry.enter(&scope);
    assert_eq!(*services.resolve::<Settings>().await.expect("unnamed"), Settings(1));
    assert_eq!(*services.resolve_named::<Settings>("staging").await.expect("staging"), Settings(3));
    assert_eq!(*services.resolve::<Chosen>().await.expect("chosen").0, Settings(2));
    let all = services.resolve_tagged::<Settings>("all").await.expect("all");
    assert_eq!(all.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 2]);
    let error = services.resolve_named::<Settings>("test").await.map(drop).expect_err("there is none");
    let text = error.to_string();
    assert!(text.contains("`Settings named test` is not registered") && text.contains("`Settings named staging`"));
}

#[tokio::test]
async fn scoped_service_is_not_had_outside_of_a_scope() {
    let error = application().resolve::<Accounts>().await.map(drop).expect_err("no scope");
    assert!(
        matches!(error, ResolveError::OutsideOfScope { .. }) && error.to_string().contains("registry.enter(&scope)")
    );
}

#[tokio::test]
async fn concurrent_first_use_builds_once() {
    let built = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&built);
    let registry = registry(|services| {
        services.singleton_async(move || {
            let count = Arc::clone(&count);
            async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok::<_, std::io::Error>(Settings(count.fetch_add(1, Ordering::SeqCst)))
            }
        });
    });
    let asking = (0..20).map(|_| {
        let registry = registry.clone();
        tokio::spawn(async move { registry.resolve::<Settings>().await.expect("settings").0 })
    });
    for asked in asking.collect::<Vec<_>>() {
        assert_eq!(asked.await.expect("no panic"), 0);
    }
    assert_eq!(built.load(Ordering::SeqCst), 1);
}

/// A factory that ends badly as often as it is told to.
fn unlucky(failures: &'static AtomicU32, badly: fn() -> std::io::Result<()>) -> Registry<SqliteSource> {
    registry(|services| {
        services.instance(Settings(1));
        services.singleton_async(move |settings: Dep<Settings>| async move {
            tokio::task::yield_now().await;
            if failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1)).is_ok() {
                badly()?;
            }
            Ok::<_, std::io::Error>(settings.0)
        });
        services.singleton(|number: Dep<u32>| vec![*number]);
    })
}

#[tokio::test]
async fn factory_that_fails_is_named_with_its_path_and_cause_and_tried_again() {
    static FAILURES: AtomicU32 = AtomicU32::new(1);
    let registry = unlucky(&FAILURES, || Err(std::io::Error::other("no route to the moon")));
    let error = registry.resolve::<Vec<u32>>().await.expect_err("the first fails");
    let ResolveError::Factory { path, source } = &error else { panic!("{error}") };
    assert_eq!(path.iter().map(|it| it.service.as_str()).collect::<Vec<_>>(), ["Vec<u32>", "u32"]);
    assert_eq!(source.to_string(), "no route to the moon");
    assert_eq!(*registry.resolve::<Vec<u32>>().await.expect("the next is built"), [1]);
}

#[tokio::test]
async fn factory_that_panics_harms_nobody_and_is_tried_again() {
    static FAILURES: AtomicU32 = AtomicU32::new(1);
    let registry = unlucky(&FAILURES, || panic!("a factory's own"));
    let error = registry.resolve::<Vec<u32>>().await.expect_err("the first panics");
    assert!(
        error.to_string().contains("→ `u32` (singleton,") && error.to_string().contains("a factory's own"),
        "{error}"
    );
    assert_eq!(*registry.resolve::<Vec<u32>>().await.expect("the next is built"), [1]);
}

#[tokio::test]
async fn factory_that_is_cancelled_is_run_again_by_whoever_waits() {
    static FAILURES: AtomicU32 = AtomicU32::new(0);
    let registry = unlucky(&FAILURES, || Ok(()));
    let context = &mut Context::from_waker(Waker::noop());
    let mut first = Box::pin(registry.resolve::<u32>());
    assert!(first.as_mut().poll(context).is_pending(), "it yields once");
    let mut second = Box::pin(registry.resolve::<u32>());
    assert!(second.as_mut().poll(context).is_pending(), "it waits for the first");
    drop(first);
    let built = tokio::time::timeout(Duration::from_secs(5), second).await.expect("nobody waits for ever");
    assert_eq!(*built.expect("built"), 1);
}

#[tokio::test]
async fn override_reaches_what_depends_on_it_and_ends_with_its_guard() {
    let fresh = Fresh::new().await;
    let registry = application();
    let scope = fresh.sessions.scope("request");
    let services = registry.enter(&scope);
    let settings = async || services.resolve::<Accounts>().await.expect("accounts").settings.0;
    assert_eq!(settings().await, 1);
    let outer = registry.override_with(Settings(2)).expect("it is registered");
    let inner = registry.override_with(Settings(3)).expect("it is registered");
    assert_eq!(settings().await, 3);
    drop(outer);
    assert_eq!(settings().await, 3);
    drop(inner);
    assert_eq!(settings().await, 1);
}

#[tokio::test]
async fn override_ends_with_a_panic_too_and_a_fork_never_sees_it() {
    let registry = application();
    let fork = registry.fork();
    let shared = registry.clone();
    let panicked = tokio::spawn(async move {
        let _guard = shared.override_with(Settings(2)).expect("it is registered");
        assert_eq!(shared.resolve::<Settings>().await.expect("settings").0, 2);
        assert_eq!(fork.resolve::<Settings>().await.expect("settings").0, 1);
        panic!("a test that fails");
    });
    panicked.await.expect_err("it panics");
    assert_eq!(registry.resolve::<Settings>().await.expect("settings").0, 1);
}

#[tokio::test]
async fn override_of_what_does_not_exist_is_refused() {
    let error = application().override_with("nothing of this type").map(drop).expect_err("it is not registered");
    assert!(error.to_string().contains("`&str` is not registered"), "{error}");
}

#[tokio::test]
async fn invalidation_reaches_everything_that_depends_on_it_and_nothing_else() {
    struct Outer(Dep<Settings>);
    struct Beside;
    let registry = registry(|services| {
        services.singleton(|| Settings(1));
        services.singleton(Outer);
        services.singleton(|| Beside);
    });
    registry.warm_up().await.expect("warm");
    let status = |service: &str| registry.status().into_iter().find(|it| it.service.service == service);
    assert!(registry.status().iter().all(|it| it.built == Some(true)));
    let outer = registry.resolve::<Outer>().await.expect("outer");
    registry.invalidate::<Settings>().expect("it is registered");
    assert_eq!(status("Outer").expect("registered").built, Some(false));
    assert_eq!(status("Beside").expect("registered").built, Some(true));
    let rebuilt = registry.resolve::<Outer>().await.expect("outer");
    assert!(!std::ptr::eq(&*outer, &*rebuilt) && !std::ptr::eq(&*outer.0, &*rebuilt.0));
}

#[tokio::test]
async fn clearing_a_scope_leaves_other_scopes_alone() {
    let fresh = Fresh::new().await;
    let registry = application();
    let (a, b) = (fresh.sessions.scope("a"), fresh.sessions.scope("b"));
    let (in_a, in_b) = (registry.enter(&a), registry.enter(&b));
    let before = (in_a.resolve::<Rows>().await.expect("rows"), in_b.resolve::<Rows>().await.expect("rows"));
    in_a.clear();
    let after = (in_a.resolve::<Rows>().await.expect("rows"), in_b.resolve::<Rows>().await.expect("rows"));
    assert!(!std::ptr::eq(&*before.0, &*after.0) && std::ptr::eq(&*before.1, &*after.1));
    registry.clear();
    let last = in_b.resolve::<Rows>().await.expect("rows");
    assert!(!std::ptr::eq(&*after.1, &*last));
}

#[tokio::test]
async fn scope_takes_its_services_with_it() {
    struct Dropped(Arc<AtomicU32>, #[expect(dead_code, reason = "it closes the circle")] Handle<SqliteSource>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let fresh = Fresh::new().await;
    let dropped = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&dropped);
    let registry = registry(|services| {
        services.scoped(move |db: Handle<SqliteSource>| Dropped(Arc::clone(&count), db));
    });
    let scope = fresh.sessions.scope("request");
    registry.enter(&scope).resolve::<Dropped>().await.map(drop).expect("built");
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    scope.end().await.expect("end");
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn order_and_needs_are_known_before_anything_is_built() {
    let registry = application();
    let order: Vec<_> = registry.order().into_iter().map(|it| it.service).collect();
    assert_eq!(order, ["Settings", "Rows", "Accounts"]);
    let status = registry.status();
    assert_eq!(status[1].needs, ["the scope's session"]);
    assert_eq!(status[2].needs, ["Rows", "Settings"]);
    assert_eq!((status[2].service.lifecycle, status[2].built), (Lifecycle::Scoped, None));
}
