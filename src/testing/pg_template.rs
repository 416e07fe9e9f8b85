//! PostgreSQL databases for tests that need real commits, each a copy of one that is made once.
//!
//! Owns their names, and that they are dropped. The [`Keeper`] makes and drops them. A database, not a schema: a copy takes some
//! 30 ms whatever is in it, while a schema would have to be filled for each test, and SQL that names a schema, or creates an
//! extension, would act outside of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::OnceCell;

use super::error::FixtureError;
use super::pg_keeper::Keeper;
use crate::policy::Policy;
use crate::sessions::Sessions;
use crate::source::{PgOptions, PgSource};

/// The initial state of every test's PostgreSQL database, for tests that need real commits: several connections, locks, deferred
/// constraints. It is made once in a process, by the first test that needs it, and copied for each test, so that tests run in
/// parallel.
///
/// ```no_run
/// use unstale::testing::PgTemplate;
/// use unstale::{PgOptions, Policy};
///
/// static SHOP: PgTemplate = PgTemplate::new("create table account (id bigint primary key, balance bigint)");
///
/// # async fn test() -> Result<(), Box<dyn std::error::Error>> {
/// let database = SHOP.database(PgOptions::from_url("postgres://localhost/postgres")?, Policy::for_tests()).await?;
/// let scope = database.sessions().scope("request");
/// // …
/// # drop(scope);
/// database.end().await?;
/// # Ok(())
/// # }
/// ```
///
/// The databases are called `unstale_…`. The next process that makes a template on the server removes what an ended process left
/// behind; it recognises running processes by their connections. A template that is never dropped is removed in this way.
pub struct PgTemplate {
    sql: &'static str,
    made: OnceCell<Made>,
}

struct Made {
    keeper: Arc<Keeper>,
    /// Begins the name of everything that is made here.
    name: String,
    copies: AtomicU64,
}

/// A test's own database, a copy of a [`PgTemplate`]. It is dropped with this value, in the background and a little later;
/// [`end`](PgDatabase::end) waits for it.
#[must_use = "the database is dropped with it"]
pub struct PgDatabase {
    sessions: Sessions<PgSource>,
    options: PgOptions,
    name: String,
    keeper: Arc<Keeper>,
}

impl PgTemplate {
    /// A template that this SQL makes: the schema, and rows that every test needs. With migrations in files,
    /// `include_str!` them.
    pub const fn new(sql: &'static str) -> Self {
        Self { sql, made: OnceCell::const_new() }
    }

    /// A new copy. The options name the server; their database has to exist, and their user has to be allowed to create databases.
    /// The first call's options make the template.
    ///
    /// # Errors
    /// [`FixtureError::Template`], with what is wrong in the SQL, say.
    ///
    /// # Cancel safety
    /// Cancel safe: a copy that is not returned is removed like those of ended processes.
    pub async fn database(&self, options: PgOptions, policy: Policy) -> Result<PgDatabase, FixtureError> {
        let made = self.made.get_or_try_init(|| self.make(&options)).await?;
        let name = format!("{}_{}", made.name, made.copies.fetch_add(1, Ordering::Relaxed));
        let copied = made.keeper.run(format!("create database {name} template {}", made.name)).await;
        copied.map_err(FixtureError::Template)?;
        let options = options.in_database(&name);
        // From here on a dropped future drops the copy too.
        let unopened = Doomed { name: name.clone(), keeper: &made.keeper };
        let opened = options.clone().open(policy).await;
        let sessions = opened.map_err(|it| FixtureError::Template(Box::new(it)))?;
        std::mem::forget(unopened);
        Ok(PgDatabase { sessions, options, name, keeper: Arc::clone(&made.keeper) })
    }

    async fn make(&self, options: &PgOptions) -> Result<Made, FixtureError> {
        let name = format!("unstale_{}_{:08x}", std::process::id(), rand::random::<u32>());
        let keeper =
            Keeper::start(options.connect().clone().application_name(&name)).map_err(FixtureError::Template)?;
        keeper.make(name.clone(), self.sql).await.map_err(FixtureError::Template)?;
        Ok(Made { keeper: Arc::new(keeper), name, copies: AtomicU64::new(1) })
    }
}

/// Drops a database when it is dropped.
struct Doomed<'a> {
    name: String,
    keeper: &'a Keeper,
}

impl Drop for Doomed<'_> {
    fn drop(&mut self) {
        self.keeper.tell(drop_sql(&self.name));
    }
}

impl PgDatabase {
    /// Sessions over it.
    pub fn sessions(&self) -> &Sessions<PgSource> {
        &self.sessions
    }

    /// How to reach it, for a look from outside.
    pub fn options(&self) -> &PgOptions {
        &self.options
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Drops it, with whatever is connected to it.
    ///
    /// # Errors
    /// [`FixtureError::Template`]: it is still there.
    ///
    /// # Cancel safety
    /// Cancel safe: it is dropped all the same.
    pub async fn end(self) -> Result<(), FixtureError> {
        self.sessions.close();
        self.keeper.run(drop_sql(&self.name)).await.map_err(FixtureError::Template)
    }
}

impl Drop for PgDatabase {
    fn drop(&mut self) {
        self.sessions.close();
        self.keeper.tell(drop_sql(&self.name));
    }
}

impl fmt::Debug for PgDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database {}", self.name)
    }
}

fn drop_sql(name: &str) -> String {
    format!("drop database if exists {name} with (force)")
}
