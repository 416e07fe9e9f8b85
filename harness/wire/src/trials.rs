//! Tests that need a PostgreSQL server.
//!
//! Owns the decision, at run time, whether such a test is run, ignored with the reason, or failed because the environment
//! requires it; and the runtime each test gets. The tests start the servers that they need themselves. A test file with
//! `harness = false` calls it:
//!
//! ```no_run
//! use unstale_wire::{server::Server, trials};
//! use unstale_wire::trial;
//!
//! fn main() -> std::process::ExitCode {
//!     trials::run([trial!(server_answers), trial!(server_answers_many, threads = 4)])
//! }
//!
//! async fn server_answers() {
//!     let server = Server::shared().unwrap();
//!     // …
//! }
//! # async fn server_answers_many() {}
//! ```

use std::env;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed};
use tokio::runtime::{Builder, Runtime};

use crate::server::{Binaries, ServerError};

/// A test that hangs fails after this time.
const TRIAL_MAX: Duration = Duration::from_secs(300);

/// How long threads that a test left behind are waited for.
const LEFT_BEHIND_MAX: Duration = Duration::from_secs(1);

/// A named test; made with [`trial!`](crate::trial).
pub struct Trial {
    name: &'static str,
    threads: usize,
    ignored: Option<String>,
    begin: Begin,
}

type Begin = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

impl Trial {
    /// What [`trial!`](crate::trial) expands to. With no threads, everything runs on the test's own.
    pub fn new<F: Future<Output = ()> + 'static>(
        name: &'static str,
        threads: usize,
        test: impl FnOnce() -> F + Send + 'static,
    ) -> Self {
        Self { name, threads, ignored: None, begin: Box::new(move || Box::pin(test())) }
    }

    /// Ignored if there is a reason: for what one test needs beside a server.
    #[must_use]
    pub fn ignored_because(mut self, reason: Option<String>) -> Self {
        self.ignored = reason;
        self
    }
}

/// A test of an async function without parameters, under the name of the function. It passes unless it panics.
///
/// The function runs on a runtime with one thread as under `#[tokio::test]`; `threads = 4` gives it one with four more.
#[macro_export]
macro_rules! trial {
    ($test:path) => {
        $crate::trial!($test, threads = 0)
    };
    ($test:path, threads = $threads:expr) => {
        $crate::trials::Trial::new(stringify!($test), $threads, || $test())
    };
}

/// Runs the tests as the command line says, which is that of the standard test harness, and prints what became of them.
///
/// Without a PostgreSQL server each is ignored, with the reason, unless `UNSTALE_REQUIRE` has `postgres` in its list: then it
/// fails. A folder in `UNSTALE_PG_BIN` that has no server is a mistake and always fails.
pub fn run(trials: impl IntoIterator<Item = Trial>) -> ExitCode {
    let required = requires(&env::var("UNSTALE_REQUIRE").unwrap_or_default(), "postgres");
    let presence = presence(Binaries::find(), required);
    let trials = trials.into_iter().map(|Trial { name, threads, ignored, begin }| {
        let presence = match (&presence, ignored) {
            (Presence::There, Some(reason)) => Presence::Absent(reason),
            (presence, _) => presence.clone(),
        };
        libtest_mimic::Trial::ignorable_test(name, move || match presence {
            Presence::There => finish(threads, begin),
            Presence::Absent(reason) => Ok(Completion::ignored_with(reason)),
            Presence::Missing(reason) => Err(Failed::from(reason)),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Whether there is a server to test with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Presence {
    There,
    /// There is none, and tests are ignored for this reason.
    Absent(String),
    /// There is none, and that is a failure.
    Missing(String),
}

fn presence(found: Result<Binaries, ServerError>, required: bool) -> Presence {
    match found {
        Ok(_) => Presence::There,
        Err(error @ (ServerError::NoBinaries { .. } | ServerError::TooOld { .. })) if !required => {
            Presence::Absent(error.to_string())
        }
        Err(error) => Presence::Missing(error.to_string()),
    }
}

/// Whether a list with commas has this in it.
fn requires(list: &str, what: &str) -> bool {
    list.split(',').any(|it| it.trim() == what)
}

fn finish(threads: usize, begin: Begin) -> Result<Completion, Failed> {
    let runtime = runtime(threads)?;
    let outcome = runtime.block_on(async {
        // A panic goes through here, and libtest-mimic reports it as the failure of this test.
        tokio::time::timeout(TRIAL_MAX, begin()).await
    });
    // Not dropped: that would wait without bound for what the test left running.
    runtime.shutdown_timeout(LEFT_BEHIND_MAX);
    match outcome {
        Ok(()) => Ok(Completion::Completed),
        Err(_) => Err(Failed::from(format!("did not end within {} s", TRIAL_MAX.as_secs()))),
    }
}

fn runtime(threads: usize) -> Result<Runtime, Failed> {
    let mut builder = if threads == 0 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(threads.max(1)).enable_all().build().map_err(Failed::from)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn list_of_what_is_required_is_read() {
        assert!(requires("postgres", "postgres") && requires("mysql, postgres", "postgres"));
        assert!(!requires("", "postgres") && !requires("postgresql", "postgres"));
    }

    #[test]
    fn missing_server_is_ignored_unless_required_and_wrong_folder_never_is() {
        let none = || Err(ServerError::NoBinaries { looked: vec![PathBuf::from("PATH")] });
        assert!(matches!(presence(none(), false), Presence::Absent(reason) if reason.contains("`PATH`")));
        assert!(matches!(presence(none(), true), Presence::Missing(_)));
        let wrong = ServerError::WrongFolder { folder: "/x".into(), why: String::new() };
        assert!(matches!(presence(Err(wrong), false), Presence::Missing(_)));
    }
}
