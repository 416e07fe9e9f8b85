//! Plans print and parse; what does not parse says where and what was expected.

use std::path::Path;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};
use unstale_harness::generate::{Profile, StorageName, generate, plans, random_for};
use unstale_harness::model::admissible;
use unstale_harness::plan::{PlanFile, Step};
use unstale_harness::system::{Capabilities, Capability};

/// On SQLite and in the simulation.
fn everything() -> [Capabilities; 2] {
    let simulated = Capabilities::of(Capability::ALL).without(Capability::Extension);
    let further = [
        Capability::Reports,
        Capability::ReadOnlyBegin,
        Capability::Sharing,
        Capability::ServiceUse,
        Capability::Autonomous,
        Capability::Swaps,
    ];
    [Capabilities::sqlite().and(Capabilities::services()).and(Capabilities::of(further)), simulated]
}

#[test]
fn printed_plan_parses_to_itself() {
    for capabilities in everything() {
        let mut runner = TestRunner::new(Config::with_cases(2000));
        runner
            .run(&plans(Profile::default(), capabilities, None), |plan| {
                let file = PlanFile::from(plan);
                let text = file.to_string();
                let parsed = PlanFile::parse(&text, Path::new("p.toml"))
                    .map_err(|it| proptest::test_runner::TestCaseError::fail(format!("{it}\n{text}")))?;
                proptest::prop_assert_eq!(parsed, file);
                Ok(())
            })
            .expect("every printed plan parses to itself");
    }
}

#[test]
fn generated_plan_is_admissible() {
    let mut runner = TestRunner::deterministic();
    for capabilities in everything() {
        let strategy = plans(Profile::default(), capabilities, None);
        for _ in 0..2000 {
            let plan = strategy.new_tree(&mut runner).expect("it never rejects").current();
            assert_eq!(admissible(&plan, capabilities), Ok(()), "{}", PlanFile::from(plan.clone()));
        }
    }
}

/// A seed is written down to get its plans again. A change that draws others has to say so, by the numbers here.
#[test]
fn seed_gives_the_plans_that_it_gave() {
    let [real, simulated] = everything();
    let small = Profile { storage: vec![StorageName::Wal], fixtures: false, full_size: true, ..Profile::default() };
    let discreet = Profile { server_faults: false, ..Profile::default() };
    let postgres = Capabilities::postgres().and(Capabilities::services()).with(Capability::Autonomous);
    let drawn = |profile: &Profile, capabilities| {
        let texts = (0..4000).map(|number| {
            let mut random = random_for(number / 1000, number % 1000);
            PlanFile::from(generate(profile, capabilities, None, &mut random)).to_string()
        });
        fnv1a(texts)
    };
    let found = [
        drawn(&Profile::default(), real),
        drawn(&small, real),
        drawn(&Profile::default(), postgres),
        drawn(&discreet, postgres),
        drawn(&Profile::default(), simulated),
    ];
    let expected = ["6fa5e8cd3f0a8063", "208442331c212530", "ffaeb2c493b8c5d8", "00e57b79fe8405b5", "faacc7b789442af0"];
    assert_eq!(found.map(|hash| format!("{hash:016x}")), expected);
}

/// The same on every platform and in every version, as the standard library's hashes are not.
fn fnv1a(texts: impl Iterator<Item = String>) -> u64 {
    texts.fold(0xcbf2_9ce4_8422_2325, |hash, text| {
        text.bytes().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    })
}

#[track_caller]
fn assert_error(text: &str, expected: &str) {
    let error = PlanFile::parse(text, Path::new("p.toml")).expect_err("the text is wrong").to_string();
    assert!(error.starts_with(expected), "expected an error that starts with\n  {expected}\nfound\n  {error}");
}

#[test]
fn unknown_step_names_line_column_and_commands() {
    assert_error("version = 1\n[actors]\na = [\"open\", \"opne\"]", "p.toml:3:15: expected a command: open, close");
    assert_error("version = 1\n[actors]\na = [\"open\", \"put k1 x\"]", "p.toml:3:22: expected a value from 0");
    assert_error("version = 1\n[actors]\na = [\"commit cancel@snt\"]", "p.toml:3:21: expected a phase");
}

#[test]
fn unknown_service_names_those_there_are() {
    assert_error("version = 1\n[actors]\na = [\"resolve clock\"]", "p.toml:3:15: expected settings, mailer");
    assert_error("version = 1\n[actors]\na = [\"override rows\"]", "p.toml:3:16: expected settings, mailer or report");
}

#[test]
fn newer_version_is_recognized_before_anything_else() {
    assert_error("version = 2\nnew_thing = 7\n[actors]\na = []", "p.toml:1:11: expected version 1, found 2");
    assert_error("[actors]\na = []", "p.toml:1:1: expected `version = 1`");
}

#[test]
fn schedule_that_does_not_fit_says_for_whom() {
    let plan = |schedule: &str| format!("version = 1\nschedule = \"{schedule}\"\n[actors]\na = [\"open\", \"close\"]");
    assert_error(&plan("a"), "p.toml:2:13: the schedule is too short for the actor `a`: expected `a` 2 times");
    assert_error(&plan("a a a"), "p.toml:2:13: the schedule is too long");
    assert_error(&plan("a b a"), "p.toml:2:13: the schedule names the actor `b`, expected one of a to a");
    assert_error(&plan("a ? a"), "p.toml:2:15: expected an actor's letter");
}

#[test]
fn toml_error_keeps_its_place() {
    assert_error("version = 1\n[actors\n", "p.toml:2:");
    assert_error("version = 1\nflavour = 3\n[actors]\na = []", "p.toml:2:1: unknown field `flavour`");
}

#[test]
fn actors_have_letters_without_a_gap() {
    assert_error("version = 1\n[actors]\na = []\nc = []", "p.toml:4:1: expected the actor `b`");
}

#[test]
fn plan_that_makes_no_sense_is_refused() {
    let text = "version = 1\n[actors]\na = [\"put k1 1\"]";
    let plan = PlanFile::parse(text, Path::new("p.toml")).expect("it parses").plan;
    let why = admissible(&plan, everything()[0]).expect_err("it has no session").to_string();
    assert_eq!(why, "actor `a`, command 1, `put k1 1`: the actor has no session: `open` comes first");
    for (last, expected) in [
        ("begin read-only", "a transaction inside another one is as that one was begun"),
        ("raw channel", "sqlite has no such thing; postgres has"),
        ("raw setting spelled 4", "on sqlite `raw setting` has 4 statements, and 13 texts around them, counted from 0"),
    ] {
        let text = format!("version = 1\n[actors]\na = [\"open\", \"begin\", \"{last}\"]");
        let plan = PlanFile::parse(&text, Path::new("p.toml")).expect("it parses").plan;
        let sqlite = Capabilities::sqlite().with(Capability::ReadOnlyBegin);
        let why = admissible(&plan, sqlite).expect_err("refused").to_string();
        assert!(why.ends_with(expected), "{why}");
    }
}

#[test]
fn what_may_end_a_fixtures_transaction_is_refused_in_one() {
    let [real, simulated] = everything();
    let plan = |storage: &str, step: &str| {
        let text =
            format!("version = 1\nstorage = \"{storage}\"\nfixture = true\n[actors]\na = [\"open\", \"{step}\"]");
        PlanFile::parse(&text, Path::new("p.toml")).expect("it parses").plan
    };
    assert_eq!(admissible(&plan("wal", "commit cancel@sent"), real).map_err(|it| it.step), Err(1), "no transaction");
    assert_eq!(admissible(&plan("wal", "put k1 1 cancel@sent"), real), Ok(()));
    let why = |plan, capabilities| admissible(&plan, capabilities).expect_err("refused").to_string();
    assert!(why(plan("wal", "put k1 1 with interrupt"), real).contains("may end the fixture's own transaction"));
    assert!(why(plan("wal", "insert k1 1 or rollback"), real).contains("may end the fixture's own transaction"));
    assert!(why(plan("wal", "wait 1s"), real).contains("may end the fixture's own transaction"));
    assert!(why(plan("sim", "scan"), simulated).contains("cannot be asked"));
    assert!(why(plan("wal", "scan"), real.without(Capability::Fixture)).contains("capability `fixture`"));
}

#[test]
fn wait_asks_nothing_of_a_system_so_there_is_nothing_to_cancel() {
    let plan = |steps: &str| {
        let text = format!("version = 1\nstorage = \"wal\"\n[actors]\na = {steps}");
        PlanFile::parse(&text, Path::new("p.toml")).expect("it parses").plan
    };
    assert_eq!(admissible(&plan("[\"wait 1s\", \"open\", \"wait 1m with interrupt\"]"), everything()[0]), Ok(()));
    let why = admissible(&plan("[\"wait 1s cancel@sent\"]"), everything()[0]).expect_err("refused").to_string();
    assert!(why.ends_with("nothing is asked of the system, so there is nothing to cancel"), "{why}");
}

#[test]
fn simulated_storage_is_for_simulated_systems_alone() {
    let [real, simulated] = everything();
    let plan = |storage: &str, step: &str| {
        let text = format!("version = 1\nstorage = \"{storage}\"\n[actors]\na = [\"open\", \"{step}\"]");
        PlanFile::parse(&text, Path::new("p.toml")).expect("it parses").plan
    };
    assert!(admissible(&plan("sim", "scan"), real).is_err());
    assert!(admissible(&plan("wal", "scan"), simulated).is_err());
    assert_eq!(admissible(&plan("sim", "scan with lost-idle cancel@poll:3"), simulated), Ok(()));
    assert!(admissible(&plan("wal", "scan cancel@poll:3"), real).is_err());
    assert!(admissible(&plan("wal", "scan with lost-after"), real).is_err());
    let gone = admissible(&plan("sim-only", "scan with lost-after"), simulated).expect_err("the data goes with it");
    assert!(gone.to_string().ends_with("`lost-after` cannot be done to the storage `sim-only`"), "{gone}");
}

#[test]
fn step_keeps_fault_and_cancel() {
    let step: Step = "insert k2 7 or rollback with interrupt cancel@sent".parse().expect("it parses");
    assert_eq!(step.to_string(), "insert k2 7 or rollback with interrupt cancel@sent");
}

#[test]
fn raw_sql_is_written_in_the_ways_that_its_database_has() {
    let file = |storage: &str, step: &str| {
        let text = format!("version = 1\nstorage = \"{storage}\"\n[actors]\na = [\"open\", \"{step}\"]");
        PlanFile::parse(&text, Path::new("p.toml"))
    };
    let plan = |step: &str| file("wal", step).expect("it parses").plan;
    for step in ["raw setting", "raw setting spelled 3", "raw temp-table spelled 2.12"] {
        let plan = plan(step);
        assert_eq!(plan.actors[0].steps[1].to_string(), step);
        assert_eq!(admissible(&plan, everything()[0]), Ok(()), "{step}");
    }
    assert_eq!(plan("raw setting spelled 0.0"), plan("raw setting"));
    for step in ["raw setting spelled 4", "raw setting spelled 0.13"] {
        let why = admissible(&plan(step), everything()[0]).expect_err("refused").to_string();
        assert!(
            why.ends_with("on sqlite `raw setting` has 4 statements, and 13 texts around them, counted from 0"),
            "{why}"
        );
    }
    for step in ["raw setting spelled", "raw setting spelled x", "raw setting spelled 1.", "raw setting spelled 1.2.3"]
    {
        let why = file("wal", step).expect_err("no such plan").to_string();
        assert!(why.contains("3 or 3.5"), "{step}: {why}");
    }
}
