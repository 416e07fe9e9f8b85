//! The shape of a plan: its commands with their keys and values left out.
//!
//! Owns when two minimal plans are one finding, and when a known one is contained in another plan.

use crate::invariant::Invariant;
use crate::plan::{Actor, Command, Plan, Step};

/// What makes two minimal plans the same finding: the invariant, and the commands with their keys and values left out.
pub fn fingerprint(invariant: Invariant, plan: &Plan) -> String {
    let mut actors: Vec<String> = plan.actors.iter().map(|it| shapes(it).join("; ")).collect();
    actors.sort();
    format!("{invariant}: {}", actors.join(" | "))
}

/// Whether the plan contains the commands of a known minimal one, actor by actor, in their order.
pub fn embeds(known: &Plan, plan: &Plan) -> bool {
    fn place(known: &[Vec<String>], plan: &[Vec<String>], used: &mut Vec<bool>) -> bool {
        let Some((first, rest)) = known.split_first() else {
            return true;
        };
        for (at, actor) in plan.iter().enumerate() {
            if !used[at] && is_subsequence(first, actor) {
                used[at] = true;
                if place(rest, plan, used) {
                    return true;
                }
                used[at] = false;
            }
        }
        false
    }
    let known: Vec<_> = known.actors.iter().map(shapes).collect();
    let plan: Vec<_> = plan.actors.iter().map(shapes).collect();
    place(&known, &plan, &mut vec![false; plan.len()])
}

fn is_subsequence(short: &[String], long: &[String]) -> bool {
    let mut long = long.iter();
    short.iter().all(|it| long.any(|other| it == other))
}

fn shapes(actor: &Actor) -> Vec<String> {
    let shape = |step: &Step| {
        let text = of_extension(&step.command)
            .map_or_else(|| step.to_string(), |command| Step { command, ..step.clone() }.to_string());
        let is_argument = |word: &&str| {
            let digits = word.strip_prefix('k').unwrap_or(word);
            !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit())
        };
        // The spelling is no argument: texts that are misread are misread each for itself.
        let text = text.replace(" spelled ", " spelled:");
        text.split(' ').filter(|word| !is_argument(word)).collect::<Vec<_>>().join(" ")
    };
    actor.steps.iter().map(shape).collect()
}

/// A command of an extension is its first word; those behind it are keys and values in the extension's own words.
fn of_extension(command: &Command) -> Option<Command> {
    let Command::Extra(words) = command else { return None };
    Some(Command::Extra(words.split_whitespace().next()?.into()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::plan::PlanFile;

    fn plan(steps: &str) -> Plan {
        let text = format!("version = 1\n[actors]\na = [{steps}]");
        PlanFile::parse(&text, Path::new("p.toml")).unwrap_or_else(|error| panic!("{error}")).plan
    }

    #[test]
    fn words_behind_the_command_of_an_extension_make_no_other_finding() {
        let one = plan(r#""extra move x y 10", "extra total""#);
        let other = plan(r#""extra move y x 7", "extra total""#);
        assert_eq!(fingerprint(Invariant::Extension, &one), "extension: extra move; extra total");
        assert_eq!(fingerprint(Invariant::Extension, &one), fingerprint(Invariant::Extension, &other));
        let third = plan(r#""extra take x 10", "extra total""#);
        assert_ne!(fingerprint(Invariant::Extension, &one), fingerprint(Invariant::Extension, &third));
        assert!(embeds(&one, &other) && !embeds(&one, &third));
    }
}
