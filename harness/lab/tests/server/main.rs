//! What needs a PostgreSQL server: ignored, with the reason, where there is none.

mod faults;
mod ours;
mod plans;
mod spelling;
mod storm;
mod tables;
mod zoo;

use std::process::ExitCode;

use unstale_wire::trials;

fn main() -> ExitCode {
    trials::run(
        [
            faults::trials(),
            ours::trials(),
            plans::trials(),
            spelling::trials(),
            storm::trials(),
            tables::trials(),
            zoo::trials(),
        ]
        .into_iter()
        .flatten(),
    )
}
