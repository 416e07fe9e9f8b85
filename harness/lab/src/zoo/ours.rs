//! The exhibits that were built to measure the harness, in tables.
//!
//! Owns what each of them is. They were written before the harness was changed to find them, so that what a change buys can
//! be said in figures; what is found of them is in the document on power. To add one: as in the zoo's own table, but no
//! invariant is named, since whatever breaks counts.

use super::exhibit::{BlindSpot, Measure, Reach, subject};

/// Defines one of the tables.
macro_rules! measures {
    ($(#[$doc:meta])* $table:ident:
        $($name:literal $source:ident $flaw:ident $(($number:literal))? $(with $extension:ident)? [$($can:ident),*]
            $blind:ident $reach:ident: $defect:literal, $origin:expr;)*) => {
        $(#[$doc])*
        pub static $table: &[Measure] = &[$(
            Measure {
                subject: subject!($name $source $flaw $(($number))? $(with $extension)? [$($can),*]),
                in_full: subject!($name $source $flaw $(($number))? $(with $extension)?),
                defect: concat!("zoo: ", $defect),
                origin: $origin,
                blind_spot: BlindSpot::$blind,
                reach: Reach::$reach,
            },
        )*];
    };
}

/// The origin of those that are one defect at several depths.
const OF_A_FAMILY: &str = "as the one of ours that stands for them";

// NAME DATABASE FLAW WHAT IT NEEDS TO BE WRONG, BLIND SPOT, REACH: DEFECT, WHERE IT IS MET;
measures! {
    /// Twenty, each with one defect, over the three databases.
    OURS:
    "ours-nested-refused" Sqlite RefusesNesting [Transactions, Nesting] Oracle Reliable:
        "every transaction inside another one is refused",
        "data-access layers over drivers without savepoints, which declare what only their interface has";
    "ours-told-twice" Sqlite TellsTwice [Transactions, Reports] Oracle Reliable:
        "a listener is told of every session twice",
        "event handlers that are registered once for each module that imports them";
    "ours-never-lent-again" Sqlite ClosesAfterTransaction [Transactions] Oracle Reliable:
        "a connection on which a transaction was begun is closed instead of being lent again",
        "pools whose `dirty` flag is set by BEGIN and never taken back by COMMIT";
    "ours-commit-by-task" Sqlite AnswersBeforeCommit [Transactions] Manner Reliable:
        "a commit is answered at once, and done by a task afterwards",
        "write-behind units of work, and `spawn(transaction.commit())` to shorten a request";
    "ours-every-second-skipped" Sqlite SkipsEverySecond [Transactions] Oracle Reliable:
        "every second command of a session is not carried out",
        "debouncers and rate limiters that drop what comes too soon and say nothing";
    "ours-immediate-deferred" Sqlite DefersImmediate [Transactions, ExplicitBegin] Oracle Reliable:
        "`begin immediate` begins a deferred transaction",
        "layers that begin by themselves, always in the same way: Django on SQLite before 5.1";
    "ours-autocommit-after-failure" Sqlite AutocommitsAfterFailure [Transactions] Generator Reliable:
        "a statement that fails ends its transaction, and what follows in it is committed one by one",
        "MySQL, which rolls the transaction back at a deadlock and does what follows in autocommit";
    "ours-older-override" Sqlite PrefersOlderOverride [Registry] Oracle Reliable:
        "of two overrides of one service the older is in force",
        "containers that keep a list of registrations and search it from the wrong end";
    "ours-uncommitted-read" Sqlite ReadsUncommitted [Transactions] Generator NotYet:
        "rows are read that nobody has committed",
        "`read_uncommitted` on a shared cache, and `nolock` hints, to be rid of waits";
    "ours-refused-commit-sim" Sim AnswersRefusedCommits [Transactions, Faults] Generator Reliable:
        "a commit that the database refuses is answered as if it were done",
        "tear-down functions that log the error of `commit()` and go on";
    "ours-crosswise-sim" Sim WaitsCrosswise [Transactions] Generator Reliable:
        "two transactions that hold a key each and ask for the other's wait for ever",
        "locks by key in the application, above a database that would have seen the deadlock";
    "ours-race-at-gate-4-sim" Sim RacesAtGate(4) [Transactions] Generator Reliable:
        "an idle connection is looked up deep inside an open, and taken one step later",
        "pools that await something between `peek` and `remove`";
    "ours-nested-left-open-sim" Sim KeepsNested [Transactions, Nesting] Generator Reliable:
        "a session that ends inside a nested transaction is lent again with its transaction open",
        "clean-up that rolls back `if depth == 1`";
    "ours-swallowed-permit-sim" Sim SwallowsPermits [Transactions, Cancellation] Generator Reliable:
        "a caller that gives up waiting for a connection keeps its place in the queue, and the permit is lost there",
        "queues of waiters that are not told when one of them times out, in home-made pools and semaphores";
    "ours-savepoint-released-sim" Sim ReleasesInstead [Transactions, Nesting] Generator Reliable:
        "the rollback of a nested transaction keeps what it did",
        "nested transactions whose end is the same function for both ways out";
    "ours-no-limit-pg" Postgres KeepsNoLimit [Transactions] Oracle Reliable:
        "the limit holds for opening connections, and not for keeping them open",
        "permits that guard the login and are dropped at its end";
    "ours-shifted-reply-pg" Postgres ShiftsReplies [Transactions, Cancellation] Generator Reliable:
        "the reply of a call that was cancelled is taken for that of the next one",
        "redis-py under a cancelled `asyncio` task: ChatGPT showed users each other's data, March 2023";
    "ours-believed-commit-pg" Postgres BelievesCommits [Transactions] Generator Reliable:
        "COMMIT of a transaction that has failed rolls it back, and is taken for a commit",
        "libraries that do not read the tag that COMMIT comes back with: sqlx, psycopg2";
    "ours-backend-left-pg" Postgres LeavesBackends [Transactions, Cancellation, Faults, ConnectionLoss] Generator NotYet:
        "the server's process behind a connection that was given up goes on, with its locks",
        "pools that drop a socket and never cancel or terminate what is under way on it";
    "ours-lost-update-8-pg" Postgres LosesUpdates(8) with Tally [Extension] Generator Reliable:
        "a number is read, added to and written in one transaction at READ COMMITTED, without a lock (8 round trips)",
        "counters, balances and stocks behind a web route, in every language";
}

measures! {
    /// One race, at ever later gates of one command.
    RACES:
    "race-at-gate-2-sim" Sim RacesAtGate(2) [Transactions] Generator NotYet:
        "a race at the second gate of an open", OF_A_FAMILY;
    "race-at-gate-3-sim" Sim RacesAtGate(3) [Transactions] Generator NotYet:
        "a race at the third gate of an open", OF_A_FAMILY;
    "race-at-gate-4-sim" Sim RacesAtGate(4) [Transactions] Generator NotYet:
        "a race at the fourth gate of an open", OF_A_FAMILY;
    "race-at-gate-5-sim" Sim RacesAtGate(5) [Transactions] Generator NotYet:
        "a race at the fifth gate of an open", OF_A_FAMILY;
    "race-at-gate-6-sim" Sim RacesAtGate(6) [Transactions] Generator NotYet:
        "a race at the sixth gate of an open", OF_A_FAMILY;
    "race-at-gate-7-sim" Sim RacesAtGate(7) [Transactions] Generator NotYet:
        "a race at the seventh gate of an open", OF_A_FAMILY;
    "race-at-gate-8-sim" Sim RacesAtGate(8) [Transactions] Generator NotYet:
        "a race at the eighth gate of an open", OF_A_FAMILY;
}

measures! {
    /// One lost update, behind ever more round trips.
    LOST_UPDATES:
    "lost-update-4-pg" Postgres LosesUpdates(4) with Tally [Extension] Generator NotYet:
        "an update lost in 4 round trips", OF_A_FAMILY;
    "lost-update-6-pg" Postgres LosesUpdates(6) with Tally [Extension] Generator NotYet:
        "an update lost in 6 round trips", OF_A_FAMILY;
    "lost-update-8-pg" Postgres LosesUpdates(8) with Tally [Extension] Generator NotYet:
        "an update lost in 8 round trips", OF_A_FAMILY;
    "lost-update-10-pg" Postgres LosesUpdates(10) with Tally [Extension] Generator NotYet:
        "an update lost in 10 round trips", OF_A_FAMILY;
    "lost-update-12-pg" Postgres LosesUpdates(12) with Tally [Extension] Generator NotYet:
        "an update lost in 12 round trips", OF_A_FAMILY;
}
