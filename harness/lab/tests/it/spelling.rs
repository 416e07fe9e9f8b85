//! Each way to write raw SQL leaves on SQLite what it says, however often it is run; and the library reads out of no text that it
//! leaves less than it does, on either database.

use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use unstale::source::{Effect, SqlxConnection};
use unstale_harness::history::{Leftovers, Reply};
use unstale_harness::plan::{Backend, Command, Residue, Spelling};
use unstale_harness::spelling::{every, text};
use unstale_harness::workload::answer;

async fn run(connection: &mut SqliteConnection, command: Command) -> Result<Reply, String> {
    answer(connection, &command).await.map_err(|error| format!("{command}: {error}"))
}

async fn left(residue: Residue, spelling: Spelling) -> Result<(Leftovers, bool), String> {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.expect("memory is there");
    connection.execute("create table kv (k integer primary key, v integer not null)").await.expect("it is empty");
    run(&mut connection, Command::Raw(residue, spelling)).await?;
    if residue.can_be_repeated() {
        run(&mut connection, Command::Raw(residue, spelling)).await?;
    }
    let Reply::Residue(seen) = run(&mut connection, Command::Inspect).await? else { unreachable!() };
    Ok((seen, connection.execute("begin").await.is_err()))
}

#[tokio::test]
async fn every_way_leaves_what_it_says_on_sqlite() {
    let mut wrong = Vec::new();
    for residue in Residue::ALL {
        for spelling in every(Backend::Sqlite, residue) {
            let seen = left(residue, spelling).await;
            let expected = Leftovers {
                setting: residue == Residue::Setting,
                temp_tables: u32::from(residue == Residue::TempTable),
                attached: residue == Residue::Attached,
                ..Leftovers::default()
            };
            if seen != Ok((expected, residue == Residue::Transaction)) {
                wrong.push(format!("{:?}: {seen:?}", text(Backend::Sqlite, residue, spelling)));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Whether what the library expects of a text covers what the text leaves.
fn covers(expected: Effect, residue: Residue) -> bool {
    match residue {
        Residue::Transaction => matches!(expected, Effect::Control(_)),
        _ => expected != Effect::Nothing,
    }
}

#[test]
fn library_expects_no_less_than_a_text_leaves() {
    let of_sqlite: fn(&str) -> Effect = SqliteConnection::effect;
    let readers = [(Backend::Sqlite, of_sqlite), (Backend::Postgres, PgConnection::effect)];
    let (mut texts, mut wrong) = (0, Vec::new());
    for (backend, effect) in readers {
        for residue in Residue::ALL {
            for spelling in every(backend, residue) {
                let text = text(backend, residue, spelling).expect("it is one of them");
                texts += 1;
                if !covers(effect(&text), residue) {
                    wrong.push(format!("{backend} raw {residue} spelled {spelling}: {text}: {:?}", effect(&text)));
                }
            }
        }
    }
    assert!(texts > 500, "{texts}");
    assert_eq!(wrong, Vec::<String>::new());
}
