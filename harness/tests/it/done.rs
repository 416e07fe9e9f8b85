//! Coverage counts what was done: a system that refuses what it declares has not been tried.

use sqlx::SqlitePool;
use unstale_harness::chain::{Chain, Of, Subject};
use unstale_harness::coverage::Coverage;
use unstale_harness::database::Database;
use unstale_harness::generate::{Kind, Profile, generate, random_for};
use unstale_harness::history::{Failure, FailureClass};
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::Command;
use unstale_harness::system::{Capabilities, Capability, Port, System};
use unstale_harness::workload;

/// What a pool without sessions refuses.
trait Refuses: 'static {
    const NAME: &'static str;

    fn refuses(command: &Command) -> bool;
}

struct Refusing<R>(SqlitePool, std::marker::PhantomData<R>);

impl<R: Refuses> System for Refusing<R> {
    const NAME: &'static str = R::NAME;

    fn capabilities() -> Capabilities {
        Capabilities::of([Capability::Transactions, Capability::Identity])
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        let pool = database.pool_options().connect_with(database.connect_options()).await?;
        Ok(Self(pool, std::marker::PhantomData))
    }

    async fn actor(&self, mut port: Port) {
        while let Some(command) = port.next().await {
            if R::refuses(&command) {
                port.run(std::future::ready(Err::<(), _>(Failure::new(FailureClass::Closed, "not today")))).await;
            } else if workload::is_statement(&command) {
                workload::statement(&self.0, &command, &mut port).await;
            } else {
                port.run(std::future::ready(Ok::<_, Failure>(()))).await;
            }
        }
    }

    async fn stop(&self) {
        self.0.close().await;
    }
}

/// What plans of this profile cover; nothing is shrunk.
fn covered(subject: &dyn Subject, profile: &Profile) -> Coverage {
    let (chain, mut coverage) = (Chain::new(subject), Coverage::default());
    for number in 0..300 {
        let plan = generate(profile, subject.capabilities(), None, &mut random_for(0, number));
        chain.run_with(&plan, |judged| coverage.add(&plan, judged));
    }
    coverage
}

fn undisturbed<R: Refuses>() -> (Coverage, Vec<String>) {
    let of = Of::<Refusing<R>>::new();
    let coverage = covered(&of, &Profile { cancels: false, faults: false, ..Profile::default() });
    let gaps = coverage.gaps(of.capabilities());
    (coverage, gaps)
}

struct Transactions;

impl Refuses for Transactions {
    const NAME: &'static str = "no-transactions";

    fn refuses(command: &Command) -> bool {
        matches!(command, Command::Begin(_) | Command::Commit | Command::Rollback | Command::Drop)
    }
}

#[test]
fn capability_that_is_asked_for_and_always_refused_was_not_exercised() {
    let (coverage, gaps) = undisturbed::<Transactions>();
    assert!(coverage.alphabet[&Kind::Begin].tried > 50, "{:?}", coverage.alphabet);
    assert_eq!(coverage.exercised(Capability::Transactions), 0);
    let gap = "the capability `transactions` is declared and was never exercised";
    assert!(gaps.iter().any(|it| it == gap), "{gaps:?}");
}

struct Commits;

impl Refuses for Commits {
    const NAME: &'static str = "no-commits";

    fn refuses(command: &Command) -> bool {
        matches!(command, Command::Commit)
    }
}

#[test]
fn command_that_is_always_refused_is_not_hidden_by_others_of_its_capability() {
    let (coverage, gaps) = undisturbed::<Commits>();
    assert!(coverage.exercised(Capability::Transactions) > 0);
    let asked = coverage.alphabet[&Kind::Commit].tried;
    assert!(gaps.contains(&format!("`commit` was asked for {asked} times and never succeeded")), "{gaps:?}");
}

struct Writes;

impl Refuses for Writes {
    const NAME: &'static str = "no-writes";

    fn refuses(command: &Command) -> bool {
        matches!(command, Command::Put(..) | Command::Insert(..) | Command::Delete(_))
    }
}

#[test]
fn refused_write_shows_nothing_of_undone_work() {
    let (coverage, gaps) = undisturbed::<Writes>();
    assert!(coverage.alphabet[&Kind::Put].tried > 50, "{:?}", coverage.alphabet);
    assert_eq!(coverage.evaluated.get(&Invariant::RolledBackInvisible), Some(&0));
    assert!(gaps.contains(&"the invariant `rolled-back-invisible` was never evaluated".to_owned()), "{gaps:?}");
}

/// Nothing that it does waits, so that no cancel has anything to cut short, and no statement reaches the database.
struct Instant;

impl System for Instant {
    const NAME: &'static str = "instant";

    fn capabilities() -> Capabilities {
        Capabilities::of([Capability::Cancellation, Capability::Faults])
    }

    async fn start(_: &Database) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn actor(&self, mut port: Port) {
        while port.next().await.is_some() {
            port.run(std::future::ready(Ok::<_, Failure>(()))).await;
        }
    }

    async fn stop(&self) {}
}

#[test]
fn disturbance_counts_as_landed_only_if_it_did() {
    let coverage = covered(&Of::<Instant>::new(), &Profile::default());
    let rows: Vec<_> = coverage.disturbances.iter().map(|(row, tally)| (row.to_string(), *tally)).collect();
    let of = |name: &str| rows.iter().find(|it| it.0 == name).unwrap_or_else(|| panic!("{name}: {rows:?}")).1;
    for never in ["cancel@sent", "cancel@before-reply", "interrupt", "refuse-commit"] {
        assert!(of(never).tried > 5 && of(never).succeeded == 0, "{never}: {rows:?}");
    }
    // The harness's own connection takes the lock, and the future is dropped unpolled.
    for always in ["cancel@before-send", "locked"] {
        assert!(of(always).succeeded > 5, "{always}: {rows:?}");
    }
    assert_eq!(coverage.exercised(Capability::Cancellation), 0, "what was never begun was not cut short");
}
