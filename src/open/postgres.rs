//! Sessions over a PostgreSQL database.
//!
//! Owns the translation of a server's refusal into an error for the caller.

use crate::policy::Policy;
use crate::sessions::Sessions;
use crate::source::postgres::{TooOld, code};
use crate::source::{ConnectionError, ErrorClass, PgOpenError, PgOptions, PgSource, Source};

impl PgOptions {
    /// Opens sessions over this database. Opens one connection to check that the database can be used, and keeps it.
    /// Waits for a server that is starting up, or has no free connection.
    ///
    /// # Errors
    /// [`PgOpenError`] says what is wrong.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn open(self, policy: Policy) -> Result<Sessions<PgSource>, PgOpenError> {
        let sessions = Sessions::new(PgSource::new(self.clone(), &policy), policy)?;
        match sessions.lender().first_connection().await {
            Ok(lease) => {
                sessions.source().give_back(lease);
                Ok(sessions)
            }
            Err(error) => Err(refused(error, &self)),
        }
    }
}

fn refused(error: ConnectionError, options: &PgOptions) -> PgOpenError {
    let server = options.server();
    let source = match error.source.downcast::<sqlx::Error>() {
        Ok(error) => *error,
        Err(source) => {
            return match source.downcast::<TooOld>() {
                Ok(old) => PgOpenError::TooOld { server, found: old.found_text() },
                Err(source) if error.class == ErrorClass::Unavailable => PgOpenError::Unreachable { server, source },
                Err(source) => PgOpenError::Connect(source),
            };
        }
    };
    let connect = options.connect();
    let user = connect.get_username().to_owned();
    match code(&source).as_deref() {
        // invalid_catalog_name
        Some("3D000") => PgOpenError::Missing { database: connect.get_database().unwrap_or(&user).to_owned(), server },
        // invalid_password, invalid_authorization_specification
        Some("28P01" | "28000") => PgOpenError::Refused { user, server, source },
        None if error.class == ErrorClass::Unavailable => PgOpenError::Unreachable { server, source: source.into() },
        _ => PgOpenError::Connect(source.into()),
    }
}
