//! What drawn plans are like: how long, how deep, what is disturbed, and that each idea can be switched off.

use std::collections::BTreeMap;

use unstale_harness::generate::{Order, Profile, generate, random_for};
use unstale_harness::model::{ActorState, Operation, Standing, is_cut_off, may_meet, waits};
use unstale_harness::plan::{Command, Gate, Phase, Plan, Step, Tasks};
use unstale_harness::system::{Capabilities, Capability};

fn everything() -> Capabilities {
    Capabilities::of(Capability::ALL).without(Capability::Extension)
}

fn drawn(profile: &Profile) -> Vec<Plan> {
    some(2000, profile).collect()
}

fn some(count: u64, profile: &Profile) -> impl Iterator<Item = Plan> {
    (0..count).map(|number| generate(profile, everything(), None, &mut random_for(7, number)))
}

/// Each command with the kind of operation that it is and where its actor stands.
fn operations(plan: &Plan) -> Vec<(&Step, Operation, Standing)> {
    let mut all = Vec::new();
    for actor in &plan.actors {
        let (mut state, mut is_unsettled) = (ActorState::default(), false);
        for step in &actor.steps {
            let depth = u32::from(state.depth);
            all.push((step, Operation::of(&step.command, depth), Standing { depth, is_unsettled }));
            state.take(step, everything()).expect("what is drawn applies");
            is_unsettled = is_cut_off(step) || is_unsettled && step.command != Command::Open;
        }
    }
    all
}

fn share(plans: &[Plan], is_one: impl Fn(&Plan) -> bool) -> f64 {
    let count = plans.iter().filter(|plan| is_one(plan)).count();
    f64::from(u32::try_from(count).expect("few")) / f64::from(u32::try_from(plans.len()).expect("few"))
}

#[test]
fn aim_cancels_every_kind_of_operation_about_as_often_as_the_others() {
    let cancelled = |profile: &Profile| {
        let mut cancelled: BTreeMap<Operation, u32> = BTreeMap::new();
        for plan in some(10_000, profile) {
            for (step, operation, _) in operations(&plan) {
                *cancelled.entry(operation).or_default() += u32::from(step.cancel.is_some());
            }
        }
        cancelled
    };
    let aimed = cancelled(&Profile::default());
    assert!(aimed.len() == Operation::ALL.len() && aimed.values().all(|count| *count > 20), "{aimed:?}");
    let anywhere = cancelled(&Profile { aimed: false, ..Profile::default() });
    // Commits are rare, and what is done to a registry, where little can be met, is not.
    let of_commit = [&aimed, &anywhere].map(|cancelled| f64::from(cancelled[&Operation::Commit]));
    let of_registry = [&aimed, &anywhere].map(|cancelled| f64::from(cancelled[&Operation::Registry]));
    assert!(of_commit[0] > 1.6 * of_commit[1] && of_registry[0] < 0.6 * of_registry[1], "{aimed:?} {anywhere:?}");
}

#[test]
fn disturbance_is_drawn_where_it_can_land() {
    for plan in drawn(&Profile::default()) {
        for (step, _, standing) in operations(&plan) {
            if let Some(phase) = step.cancel {
                assert!(phase == Phase::BeforeSend || waits(&step.command), "{step}");
            }
            if let Some(fault) = step.fault {
                assert!(may_meet(step, standing, fault.row().meets), "{step} {standing:?}");
            }
        }
    }
    let anywhere = drawn(&Profile { aimed: false, ..Profile::default() });
    let is_in_vain = |plan: &Plan| {
        let faulted = |(step, _, standing): (&Step, _, Standing)| {
            step.fault.is_some_and(|fault| !may_meet(step, standing, fault.row().meets))
        };
        operations(plan).into_iter().any(faulted)
    };
    assert!(anywhere.iter().any(is_in_vain), "without the aim some are drawn in vain");
}

#[test]
fn units_nest_and_end() {
    let nests = |plan: &Plan| operations(plan).iter().any(|(_, operation, _)| *operation == Operation::NestedBegin);
    let with = share(&drawn(&Profile::default()), nests);
    let without = share(&drawn(&Profile { units: false, ..Profile::default() }), nests);
    assert!(with >= 0.2 && with > without, "{with} of the plans nest, {without} without units");
}

#[test]
fn actor_is_stopped_deep_within_a_command_unless_gates_are_few() {
    let deepest = |plan: &Plan| {
        // One actor's stops in a row, whoever else goes on between them gate by gate.
        let (mut deepest, mut depths) = (0, [0; 8]);
        let turns = &plan.schedule.0;
        for (at, turn) in turns.iter().enumerate() {
            let depth = &mut depths[turn.actor.index()];
            let goes_on = at > 0 && turns[at - 1].until == Gate::Reply;
            *depth = if turn.until == Gate::Boundary {
                0
            } else if goes_on {
                *depth + 1
            } else {
                1
            };
            deepest = deepest.max(*depth);
        }
        deepest
    };
    let profile = |gates| Profile { strategy: Order::Deep, gates, ..Profile::default() };
    assert!(drawn(&profile(8)).iter().any(|plan| deepest(plan) >= 8));
    assert!(drawn(&profile(1)).iter().all(|plan| deepest(plan) < 8));
}

#[test]
fn tasks_run_late_in_some_plans_unless_told_otherwise() {
    let is_late = |plan: &Plan| plan.tasks == Tasks::Late;
    let late = share(&drawn(&Profile::default()), is_late);
    assert!((0.15..0.35).contains(&late), "{late}");
    assert!(!drawn(&Profile { late_tasks: false, ..Profile::default() }).iter().any(is_late));
}

#[test]
fn focused_plan_knows_little_besides() {
    let is_plain = |plan: &Plan| {
        let basics = [Operation::Open, Operation::Statement, Operation::Close];
        operations(plan).iter().all(|(step, operation, _)| {
            basics.contains(operation) && step.cancel.is_none() && !matches!(step.command, Command::Raw(..))
        })
    };
    let with = share(&drawn(&Profile::default()), is_plain);
    let without = share(&drawn(&Profile { focus: false, ..Profile::default() }), is_plain);
    assert!(with > without, "{with} against {without}");
}

#[test]
fn most_actors_are_short_and_some_are_long() {
    let lengths: Vec<usize> = drawn(&Profile { units: false, ..Profile::default() })
        .iter()
        .flat_map(|plan| plan.actors.iter().map(|actor| actor.steps.len()).collect::<Vec<_>>())
        .collect();
    let (short, long) =
        (lengths.iter().filter(|length| **length <= 4).count(), lengths.iter().filter(|length| **length > 12).count());
    assert!(short > lengths.len() / 3 && long > lengths.len() / 40, "{short} and {long} of {}", lengths.len());
    assert_eq!(lengths.iter().max(), Some(&16));
}
