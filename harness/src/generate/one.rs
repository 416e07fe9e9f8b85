//! One plan, drawn from a profile for a system that can do this.
//!
//! Owns its shape: how large it is, where it happens, how often it cancels and which faults there are.

use rand::Rng;

use super::draw::Draw;
use super::drawing::Drawing;
use super::kinds::Kind;
use super::profile::Profile;
use super::schedule::schedule;
use super::table::Table;
use crate::capability::{Capabilities, Capability};
use crate::extension::Extension;
use crate::model::UNKNOWNS_MAX;
use crate::plan::{Actor, Backend, Fault, Plan, Service, Storage, Wanted};

/// How often a step of a plan is cancelled or faulted, in sixteenths. Half of the plans have none of either, since a step
/// that was cancelled keeps what follows it from being tried.
const RATES: [u32; 4] = [0, 0, 2, 3];

/// Draws one plan.
pub fn generate(
    profile: &Profile,
    capabilities: Capabilities,
    extension: Option<&dyn Extension>,
    random: &mut impl Rng,
) -> Plan {
    let mut draw = Draw { random };
    let actors = draw.size(profile.actors, profile.full_size);
    let about_services = capabilities.has(Capability::Registry) && draw.chance(8);
    let table = Table::draw(profile, capabilities, about_services, &mut draw);
    let rate = |on: bool, draw: &mut Draw<'_, _>| if on { *draw.one(&RATES) } else { 0 };
    // Drawn first, since it decides which faults there are.
    let elsewhere = match capabilities.backend() {
        Backend::Sqlite => None,
        Backend::Postgres => Some(Storage::Postgres),
        Backend::Sim => Some(*draw.one(&Storage::SIMULATED)),
    };
    let fixture = profile.fixtures && capabilities.has(Capability::Fixture) && draw.chance(4);
    let fixture = fixture && elsewhere.is_none_or(Storage::is_ordered);
    let mut wanted = [Wanted::One(Service::Report); 2];
    if capabilities.has(Capability::Registry) {
        wanted.fill_with(|| *draw.one(&Wanted::ALL));
    }
    let mut drawing = Drawing {
        capabilities,
        faults: match elsewhere {
            // Which of them it is is drawn last, and the same can be done to all.
            None => Storage::Wal.faults(),
            Some(Storage::Postgres) if !profile.server_faults => Fault::postgres_discreet(),
            Some(storage) => storage.faults(),
        },
        server_wide: elsewhere == Some(Storage::Postgres) && profile.server_faults && draw.chance(1),
        extension,
        nests: table.has(Kind::Nest),
        table,
        keys: u32::from(profile.keys.clamp(1, 200)),
        cancel_rate: rate(profile.cancels && capabilities.has(Capability::Cancellation), &mut draw),
        fault_rate: rate(profile.faults && !fixture && capabilities.has(Capability::Faults), &mut draw),
        fixture,
        wanted,
        disturbances_left: UNKNOWNS_MAX,
        next_value: 1,
        pool_open: true,
    };
    let actors: Vec<Actor> = (0..actors)
        .map(|_| {
            // The larger of two: short actors are cheap, but seldom long enough for anything to go wrong in.
            let steps = draw.size(profile.steps, profile.full_size).max(draw.size(profile.steps, profile.full_size));
            drawing.actor(steps, &mut draw)
        })
        .collect();
    let storage = elsewhere.unwrap_or_else(|| {
        profile.storage.get(draw.below_len(profile.storage.len())).map_or(Storage::Wal, |it| (*it).into())
    });
    let connections = draw.size(profile.connections, false);
    let schedule = schedule(&actors, profile.strategy, &mut draw);
    Plan { storage, connections, fixture, actors, schedule }
}
