//! Which server and which of its processes serves a connection, and the proof of it later on.
//!
//! Owns what is learned of both when a connection is opened, and the questions by which somebody else's process is told from
//! ours: the number of a process is unique only within one server and for as long as the process lives, and behind one name
//! there may be several servers.

use std::net::{IpAddr, SocketAddr};

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::source::condition::{ServerRun, Trace};
use crate::source::runtime;

/// When this server started. A crash of one of its processes does not change it.
macro_rules! started {
    () => {
        "(extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint"
    };
}

/// What is asked in the round trip that opening makes. sqlx knows the process and does not show it. When the process began is
/// asked only when it has to be stopped: the view that knows it costs a sixth of the time that opening a connection takes.
pub(super) const IDENTITY: &str = concat!(
    "select pg_backend_pid() as process, ",
    started!(),
    " as started, host(inet_server_addr()) as host, inet_server_port() as port, \
     current_setting('transaction_read_only') as read_only, \
     current_setting('standard_conforming_strings') as strings"
);

/// What the answer to [`IDENTITY`] says.
pub(super) fn trace(row: &PgRow) -> Result<Trace, sqlx::Error> {
    // A simple query is answered in text.
    let host = row.try_get_unchecked::<Option<&str>, _>("host")?.and_then(|it| it.parse::<IpAddr>().ok());
    let port = row.try_get_unchecked::<Option<i32>, _>("port")?.and_then(|it| u16::try_from(it).ok());
    let address = host.zip(port).map(|(host, port)| SocketAddr::new(host, port));
    let server = ServerRun { started: row.try_get_unchecked("started")?, address };
    Ok(Trace { process: row.try_get_unchecked("process")?, seen: runtime::now(), server })
}

/// Selects this process from `pg_stat_activity`: on its own server, and begun by when it was seen. Another process with the same
/// number is younger.
pub(super) fn known_by(backend: &Trace) -> String {
    let (Trace { process, server, .. }, ago) = (backend, ago(backend));
    let started = server.started;
    format!("pid = {process} and backend_start <= {ago} and {} = {started}", started!())
}

/// Asks whether the process is there, whether this is its server, and whether this server has taken its server's place: it
/// listens where that one did, takes writes, and has been started since. A standby that becomes the primary was started before.
pub(super) fn questions(backend: &Trace) -> String {
    let (known, ago, started) = (known_by(backend), ago(backend), backend.server.started);
    let listens = match backend.server.address {
        Some(address) => {
            format!("host(inet_server_addr()) = '{}' and inet_server_port() = {}", address.ip(), address.port())
        }
        None => "inet_server_addr() is null".into(),
    };
    format!(
        "select exists (select from pg_stat_activity where {known}) as is_there, {} = {started} as is_same, \
         pg_postmaster_start_time() > {ago} and not pg_is_in_recovery() and coalesce({listens}, false) as is_successor",
        started!()
    )
}

/// When the process was seen, on the server's clock.
fn ago(backend: &Trace) -> String {
    let ago = runtime::now().saturating_sub(backend.seen).as_micros();
    format!("clock_timestamp() - interval '{ago} us'")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Two servers with a process of the same number cannot be had in a test.
    #[test]
    fn process_is_selected_on_its_own_server_alone() {
        let server = ServerRun { started: 1_700_000_000_000_001, address: None };
        let selected = known_by(&Trace { process: 7, seen: Duration::ZERO, server });
        assert!(selected.starts_with("pid = 7 and backend_start <= "), "{selected}");
        assert!(selected.ends_with(&format!(" and {} = 1700000000000001", started!())), "{selected}");
    }
}
