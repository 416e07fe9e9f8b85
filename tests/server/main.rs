//! The library's tests that need a server, as one program.
//!
//! A module for each hazard that only PostgreSQL has, and the hazards that every database shares, from the folder beside this
//! one. Where there is no server each test is ignored, with the reason, unless the environment requires one
//! ([`unstale_wire::trials`]). What needs none is the other program, `it`.

mod adopted;
mod bed;
mod cancellation;
mod errors;
mod fixture;
mod identity;
mod opening;
mod recovery;
mod residue;
mod restart;
mod settings;
mod silence;
mod step;
mod template;
mod transactions;
mod unknown;

#[path = "../hazards/mod.rs"]
mod hazards;

use std::process::ExitCode;

use unstale_wire::trials::{self, Trial};

/// Tests of functions, under the name of this module and their own; `[f on 2 threads]` on a runtime with as many more.
macro_rules! tests {
    ($($test:ident $(on $threads:literal threads)?),+ $(,)?) => {
        vec![$(
            unstale_wire::trials::Trial::new(
                crate::name(concat!(module_path!(), "::", stringify!($test))), 0 $(+ $threads)?, $test,
            )
        ),+]
    };
}
use tests;

/// Makes a test of each case.
macro_rules! cases {
    ($bed:ty; $($hazard:ident { $($case:ident),+ $(,)? })+) => {
        vec![$($(
            Trial::new(
                concat!("on_postgres::", stringify!($hazard), "::", stringify!($case)), 0, hazards::$hazard::$case::<$bed>,
            )
        ),+),+]
    };
}

/// Makes a test of each case that knows its database.
macro_rules! plain_cases {
    ($($hazard:ident { $($case:ident),+ $(,)? })+) => {
        vec![$($(
            Trial::new(concat!("on_postgres::", stringify!($hazard), "::", stringify!($case)), 0, hazards::$hazard::$case)
        ),+),+]
    };
}

/// The name without that of this program, as the standard test harness shows it.
fn name(path: &'static str) -> &'static str {
    path.split_once("::").map_or(path, |it| it.1)
}

fn main() -> ExitCode {
    let modules = [
        adopted::trials(),
        cancellation::trials(),
        errors::trials(),
        fixture::trials(),
        identity::trials(),
        opening::trials(),
        recovery::trials(),
        residue::trials(),
        restart::trials(),
        settings::trials(),
        silence::trials(),
        step::trials(),
        template::trials(),
        transactions::trials(),
        unknown::trials(),
        hazards::every_case!(cases, bed::Fresh),
        hazards::every_adopted_case!(cases, bed::Adopted),
        hazards::every_table_case!(plain_cases),
    ];
    trials::run(modules.into_iter().flatten())
}
