//! Private servers, and the proxy in front of one: ignored, with the reason, where there is none.

mod proxy;
mod server;

use std::process::ExitCode;

use unstale_wire::trials;

fn main() -> ExitCode {
    if let Some(status) = server::as_child() {
        return status;
    }
    trials::run([proxy::trials(), server::trials()].into_iter().flatten())
}
