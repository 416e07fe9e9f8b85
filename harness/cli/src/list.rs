//! `systems`: the list of what can be explored, exhibits apart.

use serde::Serialize;

use crate::args::Systems;
use crate::console::{Console, say};
use crate::status::Status;
use crate::systems::{self, Known};

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    kind: &'static str,
    about: &'static str,
    capabilities: Vec<String>,
}

/// Prints the list.
pub(crate) fn list(options: &Systems, console: &Console) -> Status {
    let all = systems::all();
    if options.json {
        console.json(&all.iter().map(listed).collect::<Vec<_>>());
        return Status::Pass;
    }
    let group = |are_exhibits: bool| all.iter().filter(move |known| known.is_exhibit == are_exhibits).map(listed);
    say!(console, "systems");
    group(false).for_each(|listed| print(&listed, console));
    say!(
        console,
        "\nexhibits: systems that are broken on purpose (`unstale zoo` shows that each of the zoo is caught)"
    );
    group(true).for_each(|listed| print(&listed, console));
    Status::Pass
}

fn listed(known: &Known) -> Listed {
    Listed {
        name: known.subject.name(),
        kind: if known.is_exhibit { "exhibit" } else { "system" },
        about: known.about,
        capabilities: known.subject.capabilities().iter().map(|capability| capability.to_string()).collect(),
    }
}

fn print(listed: &Listed, console: &Console) {
    // The heading says already that they are of the zoo.
    let about = listed.about.strip_prefix("zoo: ").unwrap_or(listed.about);
    say!(console, "  {:<28} {about}\n      can: {}", listed.name, listed.capabilities.join(", "));
}
