//! The table of faults, which are injected while a command runs.
//!
//! Owns the faults of every database, each with its row: its word, the storages that it can be done to, whether it may cost a
//! connection, and what proves that it landed. What is drawn, parsed, admitted, counted and offered in error messages comes
//! from the rows. Those of a PostgreSQL server and of the network in front of it have tables of their own
//! ([`ServerFault`], [`NetworkFault`]).
//!
//! A new fault is a row here and its injection: [`crate::database`] for SQLite, the simulation's server for the simulated
//! storages. Pure.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use unstale_wire::{Moment, NetworkFault, Reach, ServerFault, fault_table};

use super::storage::Storage;

/// What is known of a fault.
#[derive(Clone, Copy, Debug)]
pub struct FaultRow {
    /// How it is written; behind it comes the moment, where it has one.
    pub word: &'static str,
    /// The storages that it can be done to.
    pub storages: &'static [Storage],
    /// Whether it may cost a connection, directly or because a caller stops waiting for it.
    pub costs_connection: bool,
    /// Whether it is done to a whole server: a plan that has one needs a server of its own, and few are drawn.
    pub server_wide: bool,
    /// Whether only the owner of the connection notices it, and no process is signalled.
    pub discreet: bool,
    /// What a command must do for it to land.
    pub meets: Meets,
    /// What proves that it landed.
    pub proof: &'static str,
}

/// What a command must do for a fault to land while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meets {
    /// Send a request.
    Request,
    /// Commit.
    Commit,
    /// Open a connection.
    Connect,
    /// Nothing: a connection that is open suffices.
    Connection,
    /// Leave work to a task.
    Task,
}

/// A shared cache has no busy time-out, so nothing waits for a lock there as it does for one on a file.
const FILES: &[Storage] = &[Storage::Wal, Storage::Journal];
const ANYWHERE_BUT_ON_A_SERVER: &[Storage] =
    &[Storage::Wal, Storage::Journal, Storage::Memory, Storage::Sim, Storage::SimOrdered, Storage::SimOnly];
const SIMULATED: &[Storage] = &Storage::SIMULATED;
/// A database that is its one connection would go with it, and all that was committed.
const SIMULATED_CONNECTIONS: &[Storage] = &[Storage::Sim, Storage::SimOrdered];

/// What happens to a statement.
const ROW: FaultRow = FaultRow {
    word: "",
    storages: ANYWHERE_BUT_ON_A_SERVER,
    costs_connection: false,
    server_wide: false,
    discreet: true,
    meets: Meets::Request,
    proof: "",
};

/// What happens to a simulated connection.
const LOSS: FaultRow = FaultRow { storages: SIMULATED_CONNECTIONS, costs_connection: true, ..ROW };

fault_table! {
    /// Something done to the database while one command runs.
    pub enum Fault: FaultRow {
        /// Another connection, outside the system, holds the write lock for the time of the command.
        Locked => FaultRow { word: "locked", storages: FILES, proof: "the harness's own connection has the lock", ..ROW },
        /// The statement is interrupted while it executes.
        Interrupt => FaultRow { word: "interrupt", proof: "the statement was stopped", ..ROW },
        /// The database turns the command's commit into a rollback; PostgreSQL does so where a deferred constraint does not hold.
        RefuseCommit => FaultRow {
            word: "refuse-commit",
            storages: &Storage::ALL,
            meets: Meets::Commit,
            proof: "a commit was turned into a rollback",
            ..ROW
        },
        /// The runtime has ended: a task cannot be spawned.
        NoRuntime => FaultRow {
            word: "no-runtime",
            storages: SIMULATED,
            meets: Meets::Task,
            proof: "a task was to be spawned and was not",
            ..ROW
        },
        /// Every connection on which nothing is under way is lost before the command begins. Only where connections can be
        /// [lost](crate::system::Capability::ConnectionLoss), as the next ones.
        LostIdle => FaultRow {
            word: "lost-idle",
            meets: Meets::Connection,
            proof: "a connection was idle, and is lost",
            ..LOSS
        },
        /// The connection is lost before a request arrives: nothing was done.
        LostBefore => FaultRow { word: "lost-before", proof: "a request was to be sent, and was lost", ..LOSS },
        /// The connection is lost after a request was done and before its reply.
        LostAfter => FaultRow { word: "lost-after", proof: "a request was done, and its reply was lost", ..LOSS },
        /// No connection can be opened for a while.
        RefuseConnect => FaultRow {
            word: "refuse-connect",
            meets: Meets::Connect,
            proof: "a connection was refused",
            ..LOSS
        },
        /// A reply takes longer than a caller waits for a probe.
        SlowReply => FaultRow { word: "slow-reply", proof: "a reply was kept back", ..LOSS },
        /// The connection's other end stands still for longer than anybody waits, and then goes on with what it was sent.
        Freeze => FaultRow { word: "freeze", proof: "a request met a connection that stands still", ..LOSS },
    }
    also {
        /// Something happens to a PostgreSQL server at a moment of the command's next request.
        Server(fault: ServerFault, moment: Moment) => {
            FaultRow { meets: met_at(moment), ..of_server(fault) }
        },
        /// Something happens between a client and a PostgreSQL server at such a moment.
        Network(fault: NetworkFault, moment: Moment) => {
            FaultRow {
                word: fault.row().word,
                meets: met_at(moment),
                storages: &[Storage::Postgres],
                costs_connection: true,
                proof: "the proxy has done it",
                ..ROW
            }
        },
    }

    /// Every fault that is bound to no moment.
    pub const WITHOUT_MOMENT;
}

fn met_at(moment: Moment) -> Meets {
    match moment {
        Moment::Connect => Meets::Connect,
        Moment::Idle => Meets::Connection,
        Moment::BeforeSend | Moment::Sent | Moment::BeforeReply | Moment::MidReply => Meets::Request,
    }
}

fn of_server(fault: ServerFault) -> FaultRow {
    let row = fault.row();
    FaultRow {
        word: row.word,
        storages: &[Storage::Postgres],
        costs_connection: row.costs_connection,
        server_wide: fault.is_server_wide(),
        discreet: row.reach == Reach::Session,
        meets: Meets::Request,
        proof: row.proof,
    }
}

/// Every fault that is drawn, in the order in which they are drawn: of those with a number there are more.
static EVERY: LazyLock<Vec<Fault>> = LazyLock::new(|| {
    let server = |wide: bool| {
        let faults = ServerFault::ALL.into_iter().filter(move |fault| fault.is_server_wide() == wide);
        faults.flat_map(|fault| fault.moments().iter().map(move |at| Fault::Server(fault, *at)))
    };
    let network = NetworkFault::ALL.into_iter().flat_map(with_numbers);
    let network = network.flat_map(|fault| fault.moments().iter().map(move |at| Fault::Network(fault, *at)));
    Fault::WITHOUT_MOMENT.into_iter().chain(server(false)).chain(network).chain(server(true)).collect()
});

/// The numbers that are drawn. A reply that is cut after 7 bytes is cut before its first row; after 30, a row has passed; after
/// 60, several, or all of a short reply but its end.
fn with_numbers(fault: NetworkFault) -> Vec<NetworkFault> {
    match fault {
        NetworkFault::CutAfter(_) => [7, 30, 60].map(NetworkFault::CutAfter).to_vec(),
        NetworkFault::Latency(_) => [20, 60].map(NetworkFault::Latency).to_vec(),
        other => vec![other],
    }
}

/// The faults that are drawn for each storage.
static BY_STORAGE: LazyLock<[Vec<Fault>; Storage::ALL.len()]> = LazyLock::new(|| {
    Storage::ALL.map(|storage| {
        let is_for = |row: FaultRow| row.storages.contains(&storage) && !row.server_wide;
        Fault::every().filter(|fault| is_for(fault.row())).collect()
    })
});

static AT_MOMENTS: LazyLock<Vec<Fault>> = LazyLock::new(|| {
    let postgres = Storage::Postgres.faults().iter().copied();
    postgres.filter(|fault| fault.moment().is_some()).collect()
});

/// The faults that are drawn for each storage, by their words: each word is as likely as any other, at however many moments it can
/// happen.
static BY_WORD: LazyLock<[Vec<Vec<Fault>>; Storage::ALL.len()]> =
    LazyLock::new(|| Storage::ALL.map(|storage| by_word(storage.faults())));

static DISCREET_BY_WORD: LazyLock<Vec<Vec<Fault>>> = LazyLock::new(|| {
    let discreet = Storage::Postgres.faults().iter().copied().filter(|fault| fault.row().discreet);
    by_word(&discreet.collect::<Vec<_>>())
});

fn by_word(faults: &[Fault]) -> Vec<Vec<Fault>> {
    faults.chunk_by(|one, next| one.row().word == next.row().word).map(<[Fault]>::to_vec).collect()
}

static SERVER_WIDE: LazyLock<Vec<Fault>> = LazyLock::new(|| Fault::every().filter(|it| it.is_server_wide()).collect());

/// What can be done to a storage.
impl Storage {
    /// The faults that are drawn for it; those that need a server of their own are drawn for few plans, and not in here.
    pub fn faults(self) -> &'static [Fault] {
        &BY_STORAGE[self as usize]
    }

    /// The same, by their words.
    pub(crate) fn faults_by_word(self) -> &'static [Vec<Fault>] {
        &BY_WORD[self as usize]
    }

    /// Whether this fault can be done to it.
    pub fn allows(self, fault: Fault) -> bool {
        let has_its_moment = match fault {
            Fault::Server(fault, at) => fault.moments().contains(&at),
            Fault::Network(fault, at) => fault.moments().contains(&at),
            _ => true,
        };
        fault.row().storages.contains(&self) && has_its_moment
    }
}

impl Fault {
    /// Every fault there is, with a number where it has one.
    pub fn every() -> impl Iterator<Item = Self> {
        EVERY.iter().copied()
    }

    /// Every fault that can be done to a connection to PostgreSQL, at every moment at which it makes sense.
    pub fn postgres() -> &'static [Self] {
        &AT_MOMENTS
    }

    /// Those that only the owner of the connection notices, by their words.
    pub(crate) fn postgres_discreet_by_word() -> &'static [Vec<Self>] {
        &DISCREET_BY_WORD
    }

    /// Every fault that can be done to a PostgreSQL server as a whole: a plan that has one needs a server of its own.
    pub fn server_wide() -> &'static [Self] {
        &SERVER_WIDE
    }

    /// Whether it is done to a whole server: a plan that has one needs a server of its own.
    pub fn is_server_wide(self) -> bool {
        self.row().server_wide
    }

    /// Whether it may cost a connection, directly or because a caller stops waiting for it.
    pub fn costs_connection(self) -> bool {
        self.row().costs_connection
    }

    /// The moment that it is bound to, if it is.
    pub fn moment(self) -> Option<Moment> {
        match self {
            Self::Server(_, at) | Self::Network(_, at) => Some(at),
            _ => None,
        }
    }

    /// How it is written, without the moment.
    pub fn word(self) -> String {
        match self {
            Self::Server(fault, _) => fault.to_string(),
            Self::Network(fault, _) => fault.to_string(),
            plain => plain.print_word(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word();
        match self.moment() {
            Some(at) => f.pad(&format!("{word}@{at}")),
            None => f.pad(&word),
        }
    }
}

/// How faults are written, for an error message.
pub(super) fn expected() -> String {
    let anywhere = |fault: &Fault| fault.row().storages.contains(&Storage::Wal);
    let (files, simulated): (Vec<Fault>, Vec<Fault>) = Fault::WITHOUT_MOMENT.into_iter().partition(anywhere);
    let words = |faults: Vec<Fault>| listed(faults.into_iter().map(Fault::word), "or");
    format!(
        "a fault: {}; in the simulation also {}; on PostgreSQL {}, and FAULT@MOMENT with one of {}, and one of {}",
        words(files),
        words(simulated),
        Fault::RefuseCommit,
        listed(ServerFault::words().chain(NetworkFault::words()), "and"),
        listed(Moment::ALL.into_iter().map(|moment| moment.to_string()), "and"),
    )
}

/// `a, b or c`.
fn listed(words: impl Iterator<Item = String>, before_last: &str) -> String {
    let mut words: Vec<String> = words.collect();
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { format!("{} {before_last} {last}", words.join(", ")) }
}

/// Why a text is no fault: what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoFault(pub String);

impl FromStr for Fault {
    type Err = NoFault;

    fn from_str(text: &str) -> Result<Self, NoFault> {
        let no = || NoFault(expected());
        let Some((what, at)) = text.split_once('@') else { return Self::parse_word(text).ok_or_else(no) };
        let at: Moment = at.parse().map_err(|_| no())?;
        if let Ok(fault) = what.parse::<ServerFault>() {
            let fits = fault.moments().contains(&at);
            let when: Vec<_> = fault.moments().iter().map(Moment::to_string).collect();
            return fits
                .then_some(Self::Server(fault, at))
                .ok_or_else(|| NoFault(format!("{fault}@ {}", when.join(", "))));
        }
        let fault: NetworkFault = what.parse().map_err(|_| no())?;
        fault.check(at).map_err(|error| NoFault(format!("a fault that makes sense ({error})")))?;
        Ok(Self::Network(fault, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_prints_and_parses() {
        for fault in Fault::every() {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
    }

    #[test]
    fn every_fault_is_for_some_storage_and_has_a_proof() {
        for fault in Fault::every() {
            assert!(!fault.row().storages.is_empty() && !fault.row().proof.is_empty(), "{fault}");
            for storage in Storage::ALL {
                let is_drawn = storage.faults().contains(&fault);
                assert_eq!(storage.allows(fault) && !fault.is_server_wide(), is_drawn, "{fault} on {storage}");
            }
        }
    }

    #[test]
    fn error_lists_every_word() {
        let expected = expected();
        for fault in Fault::every() {
            assert!(expected.contains(fault.row().word), "{fault}: {expected}");
        }
        assert!(expected.starts_with("a fault: locked, interrupt or refuse-commit; in the simulation also no-runtime"));
    }
}
