//! Each way to write raw SQL leaves on PostgreSQL what it says, however often it is run.

use sqlx::{Connection, Executor, PgConnection};
use unstale_harness::history::{Leftovers, Reply};
use unstale_harness::plan::{Backend, Command, Residue, Spelling};
use unstale_harness::spelling::{FUNCTIONS_POSTGRES, every, text};
use unstale_harness::workload::answer;
use unstale_wire::server::Server;
use unstale_wire::trial;
use unstale_wire::trials::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial!(every_way_leaves_what_it_says_on_postgres)]
}

async fn run(connection: &mut PgConnection, command: Command) -> Result<Reply, String> {
    answer(connection, &command).await.map_err(|error| format!("{command}: {error}"))
}

async fn left(
    connection: &mut PgConnection,
    residue: Residue,
    spelling: Spelling,
) -> Result<(Leftovers, bool), String> {
    run(connection, Command::Raw(residue, spelling)).await?;
    if residue.can_be_repeated() {
        run(connection, Command::Raw(residue, spelling)).await?;
    }
    let Reply::Residue(seen) = run(connection, Command::Inspect).await? else { unreachable!() };
    let is_open = connection.execute("savepoint inside").await.is_ok();
    for end in ["rollback", "discard all"] {
        connection.execute(end).await.map_err(|error| error.to_string())?;
    }
    Ok((seen, is_open))
}

async fn every_way_leaves_what_it_says_on_postgres() {
    let server = Server::shared().expect("a server is there");
    let options = server.socket().options([("search_path", "spelled")]);
    let mut connection = PgConnection::connect_with(&options).await.expect("it lets us in");
    let made = format!("drop schema if exists spelled cascade; create schema spelled; {FUNCTIONS_POSTGRES}");
    connection.execute(sqlx::AssertSqlSafe(made)).await.expect("it may make functions");
    let mut wrong = Vec::new();
    for residue in Residue::ALL {
        for spelling in every(Backend::Postgres, residue) {
            let seen = left(&mut connection, residue, spelling).await;
            let is_right = seen.as_ref().is_ok_and(|(seen, is_open)| {
                seen.setting == (residue == Residue::Setting)
                    && (seen.temp_tables > 0) == (residue == Residue::TempTable)
                    && (seen.locks > 0) == (residue == Residue::Lock)
                    && seen.named().into_iter().all(|(named, is_there, _)| is_there == (residue == named))
                    && *is_open == (residue == Residue::Transaction)
            });
            if !is_right {
                wrong.push(format!("{:?}: {seen:?}", text(Backend::Postgres, residue, spelling)));
                let _ = connection.execute("rollback").await;
                let _ = connection.execute("discard all").await;
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
