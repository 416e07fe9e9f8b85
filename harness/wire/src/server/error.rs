//! Errors of a private server, each with advice.
//!
//! Owns the texts. No password is ever part of one: what a server wrote to its log is, and there it is blacked out first.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A private server is not available, or was left alone because it is not ours.
///
/// It can be cloned, since every caller that asks for the one server of a process gets its failure.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// There is no PostgreSQL on this machine, as far as can be seen.
    #[error(
        "no PostgreSQL server found in {}: install it (Debian: `apt-get install postgresql`, Fedora: `dnf install \
         postgresql-server`, Homebrew: `brew install postgresql`), or set UNSTALE_PG_BIN to the folder that has `initdb`",
        listed(looked)
    )]
    NoBinaries {
        /// Where.
        looked: Vec<PathBuf>,
    },

    /// `UNSTALE_PG_BIN` names a folder without a server. Nothing else is looked for then.
    #[error("UNSTALE_PG_BIN is `{}`, and {why}: correct it, or unset it to have the usual places searched", folder.display())]
    WrongFolder {
        /// What the variable says.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },

    /// Only servers were found that are too old.
    #[error("PostgreSQL {found} in `{}` is too old: install version {oldest} or later", folder.display())]
    TooOld {
        /// Its version, as it says itself.
        found: String,
        /// Where it is.
        folder: PathBuf,
        /// The oldest major version that will do.
        oldest: u32,
    },

    /// PostgreSQL refuses to run as root, and there is no other account to run it.
    #[error(
        "PostgreSQL does not run as root, and /etc/passwd has neither `postgres` nor `nobody`: run this as another user"
    )]
    NoAccount,

    /// PostgreSQL refuses to run as root, and this process may not switch to another account.
    #[error(
        "PostgreSQL does not run as root, and becoming `{account}` was refused ({source}): run this as another user"
    )]
    NoSwitch {
        /// The account that was to run it.
        account: String,
        /// What the system answered.
        source: Arc<io::Error>,
    },

    /// A new cluster could not be made.
    #[error("a PostgreSQL cluster could not be made; `{program}` said:\n{output}")]
    NotMade {
        /// Which program failed.
        program: &'static str,
        /// The last lines of what it printed.
        output: String,
    },

    /// Another program listens on every port that was tried.
    #[error(
        "the port is in use by another program (tried {}): free it, or start again to try other ports",
        listed(ports)
    )]
    PortTaken {
        /// All that were tried.
        ports: Vec<u16>,
    },

    /// The server ended before it was ready.
    #[error("the PostgreSQL server died at start; the end of its log:\n{log}")]
    Died {
        /// The last lines of its log.
        log: String,
    },

    /// A bounded wait was over. What was waited for has been killed.
    #[error("{what} took longer than {seconds} s and was killed; the end of the log:\n{log}")]
    TooSlow {
        /// What was waited for.
        what: &'static str,
        /// The bound.
        seconds: u64,
        /// The last lines of the log.
        log: String,
    },

    /// The server is down, so there is nothing to do it to.
    #[error("the private server is not running: start it again first")]
    NotRunning,

    /// The server is up already.
    #[error("the private server is running already: stop it first")]
    Running,

    /// A process was not touched, since nothing proves that it belongs to the private server.
    #[error("process {pid} was not signalled, because {why}: only processes of the private server can be signalled")]
    NotOurs {
        /// The process that was named.
        pid: i32,
        /// What is missing.
        why: String,
    },

    /// The operating system refused something.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system answered.
        source: Arc<io::Error>,
    },
}

impl ServerError {
    /// For `map_err`: what was tried when this happened.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source: Arc::new(source) }
    }
}

/// A list for a message.
fn listed<T: Listed>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(Listed::text).collect();
    items.join(", ")
}

trait Listed {
    fn text(&self) -> String;
}

impl Listed for PathBuf {
    fn text(&self) -> String {
        format!("`{}`", Path::display(self))
    }
}

impl Listed for u16 {
    fn text(&self) -> String {
        self.to_string()
    }
}
