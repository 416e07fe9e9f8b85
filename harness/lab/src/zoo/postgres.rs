//! The zoo on PostgreSQL: what goes wrong only with a network, a server's processes and their state.
//!
//! Owns the exhibits; each is [`guarded_pg`](crate::systems::guarded_pg) with one switch thrown. They need a server, so who
//! runs them looks for one first.

use super::Exhibit;
use crate::systems::guarded_pg::{Flaw, GuardedPg, Variant};
use unstale_harness::chain::Of;
use unstale_harness::oracle::Invariant;
use unstale_harness::system::{Capabilities, Capability};

zoo! {
    /// Every exhibit on PostgreSQL.
    EXHIBITS: GuardedPg, and [];
    EndlessRollback {
        name: "zoo-endless-rollback-pg",
        switch: RollsBackForEver,
        can: [Postgres, Transactions, Faults, ConnectionLoss],
        defect: "a rollback waits for ever for a peer that is gone",
        origin: "clean-up without a time limit: sqlx's `Transaction::rollback`, `database/sql` before contexts",
        breaks: NoHang,
        smallest_known: 3,
    }
    EndlessProbe {
        name: "zoo-endless-probe-pg",
        switch: ProbesForEver,
        can: [Postgres, Transactions, Faults, ConnectionLoss],
        defect: "whether a connection answers is asked without a time limit",
        origin: "validation queries without one: sqlx's `test_before_acquire` has the caller's whole `acquire_timeout`",
        breaks: NoLeak,
        smallest_known: 2,
    }
    LostPermit {
        name: "zoo-lost-permit-pg",
        switch: AwaitsAbandoned,
        can: [Postgres, Transactions, Faults, ConnectionLoss],
        defect: "a permit is given back only when a connection that was given up has answered, and a silent one never does",
        origin: "sqlx #4349: a pooled connection that is dropped while its peer is silent",
        breaks: NoLeak,
        smallest_known: 2,
    }
    DiscardedStatements {
        name: "zoo-discarded-statements-pg",
        switch: DiscardsStatements,
        can: [Postgres, Transactions],
        defect: "a connection is reset with `discard all`, and the driver still believes in its prepared statements",
        origin: "reset queries under a driver's statement cache: PgBouncer's `server_reset_query`, asyncpg and Npgsql behind it",
        breaks: Recovers,
        smallest_known: 2,
    }
    PreparedOnce {
        name: "zoo-prepared-once-pg",
        switch: PreparesOnce,
        can: [Postgres, Transactions, Faults, ConnectionLoss],
        defect: "a statement is prepared by name on each connection of the pool, and not on those that take their place",
        origin: "applications that prepare when they start; `prepared statement does not exist` after a failover",
        breaks: Recovers,
        smallest_known: 2,
    }
    Residue {
        name: "zoo-residue-pg",
        switch: KeepsResidue,
        can: [Postgres, Transactions, RawSql, ConnectionLocks],
        defect: "a connection goes back with the settings, locks and temporary tables of its last borrower",
        origin: "pools without a reset on release: sqlx, r2d2, deadpool and HikariCP leave it to their users",
        breaks: NoResidue,
        smallest_known: 2,
    }
    MistakeForLoss {
        name: "zoo-mistake-for-loss-pg",
        switch: MistakesAreLosses,
        can: [Postgres, Transactions],
        defect: "a constraint that is violated is taken for a lost connection, which is replaced to try again",
        origin: "handlers that catch the driver's base class of errors, or look for words in the message",
        breaks: ReconnectsBounded,
        smallest_known: 2,
    }
    LossForMistake {
        name: "zoo-loss-for-mistake-pg",
        switch: LossesAreMistakes,
        can: [Postgres, Transactions, Faults, ConnectionLoss],
        defect: "a lost connection is taken for a statement that was refused, and is lent again",
        origin: "lists of fatal codes with gaps: HikariCP's lacks 25P03 and 57P05",
        breaks: Recovers,
        smallest_known: 2,
    }
    ReconnectStorm {
        name: "zoo-reconnect-storm-pg",
        switch: Storms,
        can: [Postgres, Transactions, Faults, ConnectionLoss],
        defect: "whoever finds one connection dead opens all of them anew",
        origin: "pools that are thrown away as a whole on the first error, by each caller who meets it",
        breaks: ReconnectsBounded,
        smallest_known: 2,
    }
}
