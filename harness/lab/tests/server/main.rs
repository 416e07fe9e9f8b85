//! What needs a PostgreSQL server: ignored, with the reason, where there is none.

mod faults;
mod ours;
mod plans;
mod storm;
mod zoo;

use std::process::ExitCode;

use unstale_wire::trials;

fn main() -> ExitCode {
    trials::run(
        [faults::trials(), ours::trials(), plans::trials(), storm::trials(), zoo::trials()].into_iter().flatten(),
    )
}
