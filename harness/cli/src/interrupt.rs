//! The flag that ends a run early.
//!
//! Owns the handler of Ctrl-C. Verbs check the flag between two plans; only a second Ctrl-C aborts a plan.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::status::INTERRUPTED;

static STOP: AtomicBool = AtomicBool::new(false);

/// Installs the handler; called once, before anything is printed.
pub(crate) fn listen() {
    // If the handler cannot be installed, Ctrl-C ends the process at once; findings are in their files by then.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED.into());
        }
        let _ = writeln!(std::io::stderr(), "unstale: interrupted, ending soon; a second Ctrl-C ends it at once");
    });
}

/// The flag.
pub(crate) fn flag() -> &'static AtomicBool {
    &STOP
}

/// Whether the run is to end.
pub(crate) fn is_requested() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Ends the run early, since its output can no longer be seen.
pub(crate) fn request() {
    STOP.store(true, Ordering::Relaxed);
}
