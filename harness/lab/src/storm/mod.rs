//! A storm: real threads and a real server while faults are injected. No gates, and no replay.
//!
//! Many actors use one system at the same time, while a private server is restarted and killed, the network in front of it
//! fails, and futures are dropped. What was asked and answered is kept with its times and judged afterwards by pure
//! functions: acknowledged work is there, nothing is there twice or half, everybody recovers, nothing is left over.
//!
//! What a storm shows has no minimal plan; the same seed gives the same faults and the same tasks, and not the same run.
//!
//! | file | owns |
//! | --- | --- |
//! | `work` | the tasks, and what a system answers |
//! | `system`, `systems` | what is under test |
//! | `settings`, `clock` | what a storm is like, and its one clock |
//! | `actor`, `injector`, `database` | who works, what is injected, and where |
//! | `run` | one storm, from its server to its history |
//! | `history`, `judge`, `summary` | what happened, the verdict on it, and its figures; pure |

mod actor;
mod clock;
mod database;
pub mod history;
mod injector;
pub mod judge;
mod run;
mod settings;
pub mod summary;
pub mod system;
pub mod systems;
pub mod work;

pub use run::{StormError, pass};
pub use settings::Storm;
