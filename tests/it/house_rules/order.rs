//! The layers of each crate, from the lowest to the highest.
//!
//! A file imports from the lines above its own alone. The names that stand in one line stand beside each other. `mod.rs` of a
//! folder whose files have lines of their own is what is left of it, and comes last.

use super::layers::Layers;

/// The crates whose layers are kept.
pub(super) const CRATES: [Layers; 3] = [
    Layers {
        folder: "harness/wire/src/",
        order: &[
            // Which faults there are.
            "fault/error fault/table",
            "fault/moment",
            "fault/network fault/server",
            "fault",
            // A private server.
            "server/error server/log server/settings server/processes",
            "server/account server/binaries",
            "server/place",
            "server/postmaster",
            "server/private",
            "server",
            "fleet",
            "inject monitor trials",
            // What passes between a client and a server.
            "proxy/frames proxy/hold proxy/ledger proxy/opening proxy/order proxy/disturb",
            "proxy/requests proxy/replies proxy/arming",
            "proxy/time_out proxy/watch",
            "proxy/shared",
            "proxy/line",
            "proxy/pipe",
            "proxy/serve",
            "proxy/handle",
            "proxy",
            "lib",
        ],
    },
    Layers {
        folder: "harness/src/",
        order: &[
            "local hold invariant",
            // The plan.
            "plan/service plan/storage",
            "plan/command plan/fault",
            "plan/step",
            "plan/schedule",
            "plan/test_case",
            "plan/text",
            "plan/file",
            "plan",
            "limits capability",
            // The history, and what it can come to.
            "history/event",
            "history/by_command",
            "history/events",
            "history/recorder",
            "history/build_recorder",
            "history",
            "verdict",
            "extension port",
            // What a history claims, and whether that holds.
            "model/meaning model/claims",
            "model/walk model/wiring model/admissible model/observers",
            "model",
            "oracle/seen",
            "oracle/view",
            "oracle/checked",
            "oracle/values",
            "oracle/identity oracle/ends oracle/reports oracle/wiring",
            "oracle/judge",
            "oracle",
            // How plans are drawn, and how a run is shown.
            "generate/draw",
            "generate/kinds generate/schedule",
            "generate/profile",
            "generate/table",
            "generate/drawing",
            "generate/one",
            "generate/strategy",
            "generate",
            "report/run report/text report/html",
            "report/story",
            "report/page",
            "report/print",
            "report",
            // Where plans run.
            "library",
            "database/dialect database/failure database/place",
            "database/observer",
            "database/faults",
            "database/sqlite database/postgres",
            "database/of_plan",
            "database/for_sqlite database/for_postgres",
            "database",
            "workload system",
            // How they run.
            "erased stillness",
            "execute",
            "worker",
            "chain",
            // What is made of many runs.
            "coverage",
            "shrink/size shrink/shape shrink/removing shrink/certificate",
            "shrink/moves",
            "shrink/search",
            "shrink",
            "explore scenario",
            "check",
            "lib",
        ],
    },
    Layers {
        folder: "harness/lab/src/",
        order: &[
            "systems",
            "sim",
            "zoo",
            "storm/work storm/clock storm/settings",
            "storm/history storm/system",
            "storm/judge storm/systems storm/actor storm/database storm/injector",
            "storm/summary",
            "storm/run",
            "storm",
            "lib",
        ],
    },
];

/// The sources in which no files import each other in a circle.
pub(super) const WITHOUT_CIRCLES: [&str; 2] = ["harness/src/", "harness/wire/src/"];
