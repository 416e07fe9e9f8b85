//! Known causes: what the file may say, and what an exploration does with it.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use unstale_harness::cause::{Cause, How};
use unstale_harness::chain::Of;
use unstale_harness::database::Database;
use unstale_harness::explore::{Exploration, Explored, explore};
use unstale_harness::history::Failure;
use unstale_harness::known::{KnownCause, KnownFile};
use unstale_harness::plan::Command;
use unstale_harness::system::{Capabilities, Capability, Port, System};

fn parse(text: &str) -> Result<KnownFile, String> {
    KnownFile::parse(text, Path::new("known.toml")).map_err(|error| error.to_string())
}

#[test]
fn file_is_read_as_it_was_written() {
    let cause = |cause, fixed: Option<&str>, note: Option<&str>| KnownCause {
        cause,
        reported: "https://example.org/issues/1 \"twice\"".to_owned(),
        fixed: fixed.map(str::to_owned),
        note: note.map(str::to_owned),
    };
    let causes = vec![cause(Cause::Left, None, None), cause(Cause::CommittedEarly, Some("0.9.1"), Some("line\nbreak"))];
    let file = KnownFile { causes };
    assert_eq!(parse(&file.to_string()), Ok(file));
    assert_eq!(parse("version = 1"), Ok(KnownFile::default()));
}

#[test]
fn what_is_not_as_it_must_be_is_named_with_its_place() {
    let entry = |lines: &str| format!("version = 1\n[[cause]]\n{lines}\n");
    let whole = "signature = \"ordinary use\"\nreported = \"#1\"";
    for (text, expected) in [
        ("", "known.toml:1:1: expected `version = 1` at the top"),
        ("version = 2\nnew = 1", "known.toml:1:11: expected version 1, found 2"),
        (&entry(&format!("{whole}\nfix = \"1\"")), "known.toml:5:1: unknown field `fix`, expected one of"),
        ("version = 1\nknown = 1", "known.toml:2:1: unknown field `known`"),
        (&entry("signature = \"ordinary use\""), "missing field `reported`"),
        (&entry("signature = \"ordinary use\"\nreported = \" \""), "known.toml:4:13: expected where it is reported"),
        (
            &entry("signature = \"usual\"\nreported = \"#1\""),
            "known.toml:3:14: no cause has the signature `usual`; copy one",
        ),
        (&format!("{}[[cause]]\n{whole}", entry(whole)), "known.toml:6:14: `ordinary use` stands here a second time"),
    ] {
        let said = parse(text).expect_err(text);
        assert!(said.contains(expected), "{text}\n{said}");
    }
}

/// Panics at two commands, and skips all others.
struct Clumsy;

impl System for Clumsy {
    const NAME: &'static str = "clumsy-known";

    fn capabilities() -> Capabilities {
        Capabilities::NONE.with(Capability::ClosePool)
    }

    async fn start(_: &Database) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn actor(&self, mut port: Port) {
        while let Some(command) = port.next().await {
            assert!(!matches!(command, Command::Scan | Command::ClosePool), "it cannot do that");
        }
    }

    async fn stop(&self) {}
}

fn explored(known: Vec<Cause>) -> Explored {
    let reported = |cause| KnownCause { cause, reported: "#1".into(), fixed: None, note: None };
    let known = known.into_iter().map(reported).collect();
    let exploration = Exploration { plans: 1500, jobs: 1, known, ..Exploration::default() };
    explore(&Of::<Clumsy>::new(), &exploration, &AtomicBool::new(false), |_| {})
}

#[test]
fn plans_of_a_known_cause_are_counted_and_hide_no_other() {
    let close = Cause::Command { what: "close-pool".into(), how: How::Itself };
    let all = explored(Vec::new());
    let causes: Vec<&Cause> = all.causes().iter().map(|found| found.cause).collect();
    assert_eq!(causes.len(), 2, "{causes:?}");
    assert!(causes.contains(&&close) && causes.contains(&&Cause::Ordinary(None)), "{causes:?}");

    let one = explored(vec![close, Cause::CommittedEarly]);
    assert_eq!(one.causes().iter().map(|found| found.cause).collect::<Vec<_>>(), [&Cause::Ordinary(None)]);
    let said: Vec<String> = one.known.iter().map(ToString::to_string).collect();
    assert!(
        one.known[0].plans > 1 && said[0] == format!("close-pool; known: #1, {} plans", one.known[0].plans),
        "{said:?}"
    );
    assert_eq!(said[1], "something was committed before its transaction was; known: #1, 0 plans");
}
