//! Faults of a real server that are told by its own SQLSTATE: what a client of plain sqlx sees of them, that they say whether
//! they landed, and that they are over when they are healed.

use std::path::Path;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};
use unstale_harness::chain::{Chain, Of};
use unstale_harness::database::Database;
use unstale_harness::history::{Failure, FailureClass, Outcome, Reply, What};
use unstale_harness::oracle::Verdict;
use unstale_harness::plan::{Command, Fault, PlanFile};
use unstale_harness::system::{Capabilities, Port, System};
use unstale_lab::systems::sqlx_pool::SqlxPgPool;
use unstale_lab::systems::unstale::UnstalePg;
use unstale_wire::server::Server;
use unstale_wire::trial;
use unstale_wire::trials::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial!(altered_table_outdates_what_was_prepared),
        trial!(altered_table_has_the_same_values),
        trial!(table_in_use_is_not_altered),
        trial!(session_that_idles_is_ended_by_the_server),
        trial!(failed_transaction_is_not_ended),
        trial!(full_server_has_no_place_until_it_is_healed),
        trial!(cancelled_query_has_landed_if_it_was_refused),
        trial!(connection_that_was_open_is_read_only_from_its_next_transaction_on),
        trial!(read_only_connections_of_one_plan_are_nobody_elses),
        trial!(server_that_is_started_again_is_writable),
        trial!(library_comes_through),
    ]
}

/// One connection for each session, made when it is opened; an error is its SQLSTATE.
struct Bare(PgConnectOptions);

impl System for Bare {
    const NAME: &'static str = "bare-pg";

    fn capabilities() -> Capabilities {
        Capabilities::postgres()
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        Ok(Self(database.pg_connect_options()))
    }

    async fn actor(&self, mut port: Port) {
        let mut session = None;
        while let Some(command) = port.next().await {
            if command == Command::Open {
                let opened = async { PgConnection::connect_with(&self.0).await.map_err(|it| code(&it)) };
                session = port.ask(opened, |_| Reply::Done).await;
                continue;
            }
            if command == Command::Close {
                session = None;
            }
            port.ask(run(session.as_mut(), command), |()| Reply::Done).await;
        }
    }

    async fn stop(&self) {}
}

async fn run(session: Option<&mut PgConnection>, command: Command) -> Result<(), Failure> {
    let Some(session) = session else { return Ok(()) };
    let done = match command {
        Command::Begin(_) => session.execute("begin").await,
        Command::Put(..) => session.execute("insert into kv values (1, 1)").await,
        Command::Fail => session.execute("select 1 / 0").await,
        _ => session.execute(sqlx::query("select v from kv where k = $1").bind(1_i64)).await,
    };
    done.map(drop).map_err(|it| code(&it))
}

fn code(error: &sqlx::Error) -> Failure {
    let code = error.as_database_error().and_then(|it| it.code()).map(|it| it.into_owned());
    Failure::new(FailureClass::Mistake, code.unwrap_or_else(|| error.to_string()))
}

/// What each command of one actor came to, and the faults that landed.
fn outcomes(steps: &[&str]) -> (Vec<String>, Vec<Fault>) {
    let run = Chain::new(&Of::<Bare>::new()).run(&plan(steps).plan);
    let (mut outcomes, mut landed) = (Vec::new(), Vec::new());
    for event in &run.history.events {
        match &event.what {
            What::Returned(outcome) if event.by.is_some_and(|it| it.actor.index() == 0) => {
                outcomes.push(match outcome {
                    Outcome::Failed(failure) => failure.message.clone(),
                    _ => "done".into(),
                });
            }
            What::FaultLanded(fault) => landed.push(*fault),
            _ => {}
        }
    }
    (outcomes, landed)
}

fn plan(steps: &[&str]) -> PlanFile {
    let text = format!("version = 1\nstorage = \"postgres\"\nconnections = 2\n[actors]\na = {steps:?}\n");
    PlanFile::parse(&text, Path::new("plan")).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn fault(text: &str) -> Fault {
    text.parse().expect("a fault")
}

async fn altered_table_outdates_what_was_prepared() {
    for alter in ["alter-table@idle", "alter-table@before-send"] {
        let struck = format!("get k1 with {alter}");
        // There and back.
        let steps = ["open", "get k1", &struck, "close", "open", "get k1", &struck, "close", "open", "get k1"];
        let (outcomes, landed) = outcomes(&steps);
        let done = "done";
        assert_eq!(outcomes, [done, done, "0A000", done, done, done, "0A000", done, done, done], "{alter}");
        assert_eq!(landed, [fault(alter); 2]);
    }
}

async fn altered_table_has_the_same_values() {
    let steps =
        ["open", "put k1 7", "get k1 with alter-table@idle", "put k2 8", "get k1 with alter-table@idle", "scan"];
    let run = Chain::new(&Of::<UnstalePg>::new()).run(&plan(&steps).plan);
    assert!(matches!(run.judgement.verdict, Verdict::Pass), "{:?}", run.judgement.verdict);
    let rows = |it: &What| matches!(it, What::Returned(Outcome::Done(Reply::Rows(rows))) if rows.len() == 2);
    assert!(run.history.events.iter().any(|it| rows(&it.what)), "{:#?}", run.history.events);
}

async fn table_in_use_is_not_altered() {
    for alter in ["alter-table@idle", "alter-table@before-send"] {
        let (outcomes, landed) = outcomes(&["open", "get k1", "begin", "put k1 1", &format!("get k1 with {alter}")]);
        assert_eq!((outcomes, landed), (vec!["done".to_owned(); 5], vec![]), "{alter}");
    }
}

async fn session_that_idles_is_ended_by_the_server() {
    let time_out = "idle-time-out@idle";
    let struck = format!("get k1 with {time_out}");
    let (inside, landed) = outcomes(&["open", "begin", "get k1", &struck, "close", "open", "get k1"]);
    assert_eq!(inside, ["done", "done", "done", "25P03", "done", "done", "done"]);
    assert_eq!(landed, [fault(time_out)]);
    let (outside, landed) = outcomes(&["open", "get k1", &struck, "close", "open", "get k1"]);
    if Server::shared().expect("a server").version() < 14 {
        assert_eq!((outside, landed), (vec!["done".to_owned(); 6], vec![]), "it does not know this limit");
    } else {
        assert_eq!(outside, ["done", "done", "57P05", "done", "done", "done"]);
        assert_eq!(landed, [fault(time_out)]);
    }
}

async fn failed_transaction_is_not_ended() {
    let (outcomes, landed) = outcomes(&["open", "begin", "fail", "get k1 with idle-time-out@idle"]);
    assert_eq!((outcomes, landed), (["done", "done", "22012", "25P02"].map(String::from).to_vec(), vec![]));
}

async fn full_server_has_no_place_until_it_is_healed() {
    let full = "connection-limit@connect";
    let opened = format!("open with {full}");
    let (outcomes, landed) = outcomes(&["open", &format!("get k1 with {full}"), "close", &opened, "open", "get k1"]);
    assert_eq!(outcomes, ["done", "done", "done", "53300", "done", "done"], "who has a place keeps it");
    assert_eq!(landed, [fault(full); 2]);
}

async fn cancelled_query_has_landed_if_it_was_refused() {
    let cancel = "cancel-query@sent";
    let (mut hit, mut missed) = (0, 0);
    // Now and then a short statement has ended before the server tells it.
    for _ in 0..10 {
        let steps =
            ["open", &format!("slow with {cancel}"), &format!("get k1 with {cancel}"), &format!("scan with {cancel}")];
        let run = Chain::new(&Of::<SqlxPgPool>::new()).run(&plan(&steps).plan);
        for (by, span) in run.history.commands().iter().filter(|(_, span)| span.step.fault.is_some()) {
            let landed = What::FaultLanded(fault(cancel));
            let landed = run.history.events.iter().any(|event| event.by == Some(by) && event.what == landed);
            let refused =
                matches!(span.outcome, Some(Outcome::Failed(failure)) if failure.class == FailureClass::Interrupted);
            assert_eq!(landed, refused, "{}: {:?}", span.step, span.outcome);
            if landed {
                hit += 1
            } else {
                missed += 1
            };
        }
    }
    assert!(hit > 0, "{hit} statements were refused, and {missed} were not");
}

async fn connection_that_was_open_is_read_only_from_its_next_transaction_on() {
    let (done, refused) = ("done", "25006");
    let read_only = |moment: &str| format!("read-only@{moment}");
    for at in ["idle", "before-send", "before-reply"] {
        // Who connects later can write.
        let steps =
            ["open", &format!("get k1 with {}", read_only(at)), "put k1 1", "get k1", "close", "open", "put k1 1"];
        let (outcomes, landed) = outcomes(&steps);
        assert_eq!(outcomes, [done, done, refused, done, done, done, done], "{at}");
        assert_eq!(landed, [fault(&read_only(at))], "it is told of the command that had it, by the one that met it");
    }
    for (at, meets_it) in [("idle", refused), ("before-send", refused), ("before-reply", done)] {
        let (outcomes, landed) = outcomes(&["open", "get k1", &format!("put k1 1 with {}", read_only(at))]);
        assert_eq!(outcomes, [done, done, meets_it], "{at}");
        assert_eq!(landed.len(), usize::from(meets_it == refused), "{at}");
    }
    // A transaction that has begun goes on, and nothing has met the fault.
    let (outcomes, landed) = outcomes(&["open", "begin", "get k1 with read-only@idle", "put k1 1"]);
    assert_eq!((outcomes, landed), (vec![done.to_owned(); 4], vec![]));
}

async fn read_only_connections_of_one_plan_are_nobody_elses() {
    let setting = "select current_setting('default_transaction_read_only')";
    let options = Server::shared().expect("a server").tcp();
    let mut other = PgConnection::connect_with(&options).await.expect("it accepts connections");
    let plan = plan(&["open", "get k1 with read-only@idle", "put k1 1"]).plan;
    let run = std::thread::spawn(move || Chain::new(&Of::<Bare>::new()).run(&plan)).join().expect("it runs");
    assert!(run.history.events.iter().any(|it| it.what == What::FaultLanded(fault("read-only@idle"))));
    for _ in 0..2 {
        let read_only: String = sqlx::query_scalar(setting).fetch_one(&mut other).await.expect("it answers");
        assert_eq!(read_only, "off");
        // And of a later one.
        other = PgConnection::connect_with(&options).await.expect("it accepts connections");
    }
}

async fn server_that_is_started_again_is_writable() {
    let steps = [
        "open",
        "get k1 with read-only@idle",
        "put k1 1",
        "get k1 with restart-fast@idle",
        "close",
        "open",
        "put k1 1",
    ];
    let (outcomes, landed) = outcomes(&steps);
    assert_eq!(outcomes[2..], ["25006", "57P01", "done", "done", "done"]);
    assert_eq!(landed, ["read-only@idle", "restart-fast@idle"].map(fault));
}

async fn library_comes_through() {
    let faults = ["alter-table@idle", "alter-table@before-send", "idle-time-out@idle", "connection-limit@connect"];
    for fault in faults {
        let struck = format!("get k1 with {fault}");
        let steps = ["open", "put k1 1", "get k1", "close", &format!("open with {fault}"), &struck, "get k1"];
        let run = Chain::new(&Of::<UnstalePg>::new()).run(&plan(&steps).plan);
        assert!(matches!(run.judgement.verdict, Verdict::Pass), "{fault}: {:?}", run.judgement.verdict);
        let landed = run.history.events.iter().filter(|it| it.what == What::FaultLanded(self::fault(fault))).count();
        assert!(landed > 0, "{fault}");
    }
}
