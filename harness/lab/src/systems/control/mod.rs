//! The control: a correct system, as small as can be, that must raise no alarm.
//!
//! It buys its correctness with bluntness. A session whose statement failed inside a transaction refuses everything
//! until the rollback; a connection on which something may be left is closed instead of being lent again; one in doubt,
//! after a call that was cancelled or not answered, is given up at once, so that no caller waits for the work abandoned
//! there. Any alarm here is a defect of the harness.
//!
//! The same control runs on every database: it is generic over a [`Source`] of [`Connection`]s, and three of them exist,
//! SQLite and PostgreSQL in here and [the simulation's](crate::sim::control) over there. It is also the base of
//! [`crate::zoo`]: a [`Flaw`] takes one piece of the care away, so every exhibit differs in one point from a system that is
//! known to be correct.
//!
//! | file | owns |
//! | --- | --- |
//! | `flaw` | what can be wrong, and what a system with a flaw is called |
//! | `connection` | what the control needs of a database |
//! | `pool` | permits, idle connections, opening and closing |
//! | `pool_flaws` | what the pool does for flaws alone |
//! | `for_flaws` | what a session has for its flaw alone |
//! | `replies` | for one flaw: replies that are told apart by their order alone |
//! | `lease` | a session: a connection lent to one actor, and the release gate |
//! | `transaction` | how a session begins and ends transactions |
//! | `swap` | how a session reads a row and writes it anew |
//! | `tally` | an application's own request: a number that is read, added to and written |
//! | `registry` | services: what was built, what overrides it, what is out of date |
//! | `actor` | one unit of work: which command does what |
//! | `system` | the control as the harness's [`System`](unstale_harness::system::System) |
//! | `sqlite`, `postgres` | the connections |
//!
//! Architecture invariant: a flaw is a value at run time. The control is compiled once for each source, not for each flaw.

mod actor;
mod connection;
mod flaw;
mod for_flaws;
mod lease;
mod pool;
mod pool_flaws;
mod postgres;
mod registry;
mod replies;
mod sqlite;
mod swap;
mod system;
mod tally;
mod transaction;

pub(crate) use actor::Shared;
pub use connection::{Boundary, Connection, Source};
pub use flaw::{Flaw, Sound, Spec};
pub use postgres::{Postgres, PostgresConnection};
pub use sqlite::Sqlite;
pub use system::{Control, PostgresControl, SqliteControl};
pub use tally::{Tally, WithRequest};
