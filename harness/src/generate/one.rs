//! One plan, drawn from a profile for a system that can do this.
//!
//! Owns its shape: how large it is, where it happens, how often it cancels and which faults there are.

use rand::Rng;

use super::disturbance::Disturbances;
use super::draw::Draw;
use super::drawing::Drawing;
use super::focus::focused;
use super::kinds::Kind;
use super::profile::Profile;
use super::schedule::{schedule, tasks};
use super::table::{Knowledge, Table};
use super::unit::{self, Unit};
use crate::capability::{Capabilities, Capability};
use crate::extension::Extension;
use crate::plan::{Actor, Backend, Fault, Plan, Service, Storage, Wanted};

/// How often a step of a plan is cancelled or faulted, in sixteenths. Half of the plans have none of either, since a step
/// that was cancelled keeps what follows it from being tried.
const RATES: [u32; 4] = [0, 0, 2, 4];

/// So many commands make a unit that nests and ends.
const UNITS_MIN: u8 = 8;

/// Draws one plan.
pub fn generate(
    profile: &Profile,
    capabilities: Capabilities,
    extension: Option<&dyn Extension>,
    random: &mut impl Rng,
) -> Plan {
    let mut draw = Draw { random };
    let actors = draw.large_size(profile.actors, profile.full_size);
    let is_focused = profile.focus && draw.chance(4);
    let storage = match capabilities.backend() {
        Backend::Sqlite => {
            profile.storage.get(draw.below_len(profile.storage.len())).map_or(Storage::Wal, |it| (*it).into())
        }
        Backend::Postgres => Storage::Postgres,
        Backend::Sim => *draw.one(&Storage::SIMULATED),
    };
    let capabilities = if is_focused { focused(capabilities, &mut draw) } else { capabilities };
    let about_services = capabilities.has(Capability::Registry) && draw.chance(8);
    let about_requests = capabilities.has(Capability::Extension) && draw.chance(6)
        || capabilities.has(Capability::Swaps) && draw.chance(3);
    let knowledge = match (is_focused, about_requests, about_services) {
        (true, ..) => Knowledge::Everything,
        (false, true, _) => Knowledge::Requests,
        (false, false, true) => Knowledge::Services,
        (false, false, false) => Knowledge::Swarm,
    };
    let table = Table::draw(profile, capabilities, knowledge, &mut draw);
    let rate = |on: bool, draw: &mut Draw<'_, _>| if on { *draw.one(&RATES) } else { 0 };
    let fixture = profile.fixtures && capabilities.has(Capability::Fixture) && storage.is_ordered();
    let fixture = fixture && draw.chance(if is_focused { 12 } else { 4 });
    let mut wanted = [Wanted::One(Service::Report); 2];
    if capabilities.has(Capability::Registry) {
        wanted.fill_with(|| *draw.one(&Wanted::ALL));
    }
    let disturbances = Disturbances {
        capabilities,
        faults: match storage {
            Storage::Postgres if !profile.server_faults => Fault::postgres_discreet_by_word(),
            storage => storage.faults_by_word(),
        },
        server_wide: storage == Storage::Postgres && profile.server_faults && draw.chance(1),
        cancel_rate: rate(profile.cancels && capabilities.has(Capability::Cancellation), &mut draw),
        fault_rate: rate(profile.faults && !fixture && capabilities.has(Capability::Faults), &mut draw),
        aimed: profile.aimed,
    };
    // Requests are about the same few things.
    let is_about_one = knowledge == Knowledge::Requests && capabilities.has(Capability::Swaps) && draw.chance(10);
    let keys = if is_about_one { 1 } else { u32::from(profile.keys.clamp(1, 200)) };
    let mut drawing = Drawing {
        capabilities,
        extension,
        nests: table.has(Kind::Nest),
        table,
        keys,
        fixture,
        shares_cache: storage == Storage::Memory,
        brief: profile.units && draw.chance(6),
        wanted,
        next_value: 1,
        pool_open: true,
    };
    let units = unit::are_possible(profile, capabilities) && draw.chance(6);
    let crosswise = units && draw.chance(8);
    let mut actors: Vec<Actor> = (0..actors)
        .map(|number| {
            let length = draw.length(profile.steps, profile.full_size);
            if units && draw.chance(13) {
                let unit = Unit::of(number.into(), crosswise, unit::may_nest(profile, capabilities), &mut draw);
                drawing.actor_of_units(unit, length.max(UNITS_MIN).min(profile.steps.max(1)), &mut draw)
            } else {
                drawing.actor(length, &mut draw)
            }
        })
        .collect();
    disturbances.draw(&mut actors, &mut draw);
    let connections = draw.size(profile.connections, false);
    let schedule = schedule(&actors, profile, &mut draw);
    Plan { storage, connections, fixture, tasks: tasks(profile, &mut draw), actors, schedule }
}
