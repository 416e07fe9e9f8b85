//! The library's ordinary tests, as one program: what needs no server. SQLite is the database, wherever there has to be one.
//!
//! A module for each hazard, or for each rule that holds for the whole repository. The hazards that every database shares are
//! in the folder beside this one, and run here on SQLite. What needs a server is the other program, `server`.

mod atomic;
mod bed;
mod cancellation;
mod compile_fail;
mod features;
mod fixture;
mod house_rules;
mod limits;
mod observing;
mod opening;
mod outside;
mod panics;
mod recovery;
mod registry;
mod repository;
mod residue;
mod slot_schedules;
mod sync;
mod table;
mod transactions;

#[path = "../hazards/mod.rs"]
mod hazards;

/// Makes a test of each case.
macro_rules! tests {
    ($bed:ty; $($hazard:ident { $($case:ident),+ $(,)? })+) => {
        $(mod $hazard {
            $(#[tokio::test]
            async fn $case() {
                crate::hazards::$hazard::$case::<$bed>().await;
            })+
        })+
    };
}

/// Makes a test of each case that knows its database.
macro_rules! plain_tests {
    ($($hazard:ident { $($case:ident),+ $(,)? })+) => {
        $(mod $hazard {
            $(#[tokio::test]
            async fn $case() {
                crate::hazards::$hazard::$case().await;
            })+
        })+
    };
}

/// The hazards that every database shares.
mod on_sqlite {
    crate::hazards::every_case!(tests, crate::bed::Fresh);
    crate::hazards::every_adopted_case!(tests, crate::bed::Adopted);
    crate::hazards::every_table_case!(plain_tests);
}
