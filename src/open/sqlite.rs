//! Sessions over a SQLite database.
//!
//! Owns the check of the database file before anything is opened, and the translation of SQLite's refusals.

use std::path::Path;

use crate::policy::Policy;
use crate::sessions::Sessions;
use crate::source::{AcquireError, Connection, ConnectionError, OpenError, Source, SqliteOptions, SqliteSource};

impl SqliteOptions {
    /// Opens sessions over this database. Opens one connection to check that the database can be used, and keeps it.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn open(self, policy: Policy) -> Result<Sessions<SqliteSource>, OpenError> {
        let path = self.path().map(Path::to_path_buf);
        if let Some(path) = &path {
            look(path, self.is_read_only())?;
        }
        let source = SqliteSource::new(self, &policy);
        let sessions = Sessions::new(source, policy)?;
        let source = sessions.source();
        match source.acquire().await {
            Ok(mut lent) => {
                lent.lease.probe().await.map_err(|failure| refused(failure, path.as_deref()))?;
                source.give_back(lent.lease);
                Ok(sessions)
            }
            Err(AcquireError::Closed) => Err(OpenError::Connect(sqlx::Error::PoolClosed)),
            Err(AcquireError::Connect(failure)) => Err(refused(failure, path.as_deref())),
        }
    }
}

/// Finds what is wrong with the file before SQLite sees it.
fn look(path: &Path, read_only: bool) -> Result<(), OpenError> {
    let Ok(metadata) = std::fs::metadata(path) else {
        // SQLite may create it, or says that it may not.
        return Ok(());
    };
    if metadata.is_dir() {
        return Err(OpenError::Folder { path: path.to_owned() });
    }
    if metadata.permissions().readonly() && !read_only {
        return Err(OpenError::ReadOnly { path: path.to_owned() });
    }
    Ok(())
}

fn refused(failure: ConnectionError, path: Option<&Path>) -> OpenError {
    let error = match failure.source.downcast::<sqlx::Error>() {
        Ok(error) => *error,
        Err(other) => sqlx::Error::Protocol(other.to_string()),
    };
    let code: i32 = error.as_database_error().and_then(|it| it.code()?.parse().ok()).unwrap_or(0);
    match (path, code & 0xff) {
        (Some(path), 26) => OpenError::NotADatabase { path: path.to_owned() },
        (Some(path), 8) => OpenError::ReadOnly { path: path.to_owned() },
        (Some(path), 14) if !path.exists() => OpenError::Missing { path: path.to_owned() },
        _ => OpenError::Connect(error),
    }
}
