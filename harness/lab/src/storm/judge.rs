//! Judges the history of a storm. Pure; it runs nothing and knows no system.
//!
//! Owns the rules, in the oracle's vocabulary. Each is linear in the history, and exact: the key of a row says which
//! operation wrote it. What is not checked: the order of commits of different actors, and which connection served what;
//! that is for plans with gates.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::history::{History, Operation, Outcome};
use super::work::Work;
use unstale_harness::oracle::Invariant;

/// How long the first call of an actor may take once everything is healed.
pub const RECOVER_MAX: Duration = Duration::from_secs(10);

/// The verdict on a storm: every invariant that broke, in the order of [`Invariant::ALL`]; none is a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What broke.
    pub findings: Vec<Finding>,
    /// How often there was something to check.
    pub evaluated: BTreeMap<Invariant, u64>,
}

/// One invariant that broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which one.
    pub invariant: Invariant,
    /// How often.
    pub count: u64,
    /// The first operation that shows it: actor and sequence.
    pub at: Option<(u32, u32)>,
    /// What had to be.
    pub expected: String,
    /// What was.
    pub observed: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, count, at, expected, observed } = self;
        write!(f, "{invariant} broke {count} times, first")?;
        if let Some((actor, sequence)) = at {
            write!(f, " in task {sequence} of actor {actor}")?;
        }
        write!(f, ": expected {expected}; observed {observed}")
    }
}

/// Judges it.
pub fn judge(history: &History) -> Judgement {
    let mut found = Found::default();
    for (actor, operations) in (0..).zip(&history.actors) {
        for operation in operations {
            at_the_end(history, operation, &mut found);
        }
        while_it_ran(history, operations, &mut found);
        recovery(history, actor, operations, &mut found);
    }
    strangers(history, &mut found);
    balances(history, &mut found);
    leftovers(history, &mut found);
    found.judgement()
}

/// What is there at the end agrees with what was answered.
fn at_the_end(history: &History, operation: &Operation, found: &mut Found) {
    let task = &operation.task;
    found.check(Invariant::NoHang, operation.outcome != Outcome::Hung, || {
        (Some(key(operation)), "an end of any kind".into(), "none within the limit".into())
    });
    let wanted = task.rows();
    if wanted == 0 {
        return;
    }
    let counts = || (1..=wanted).map(|nth| rows(history, operation, nth));
    found.check(Invariant::NoDuplicateEffect, counts().all(|it| it <= 1), || {
        let most = counts().max().unwrap_or(0);
        (Some(key(operation)), "each row at most once".into(), format!("one {most} times, after {}", said(operation)))
    });
    let present = present(history, operation);
    compare(operation, present, "at the end", key(operation), found);
}

/// What an operation left, at some time after it returned, agrees with its answer.
fn compare(operation: &Operation, present: u32, when: &str, at: (u32, u32), found: &mut Found) {
    let wanted = operation.task.rows();
    let (invariant, holds, expected) = match &operation.outcome {
        Outcome::Done(_) if operation.task.is_rolled_back() => (Invariant::RolledBackInvisible, present == 0, 0),
        Outcome::NotDone(_) => (Invariant::RolledBackInvisible, present == 0, 0),
        Outcome::Unknown(_) | Outcome::Hung if operation.task.is_rolled_back() => {
            (Invariant::RolledBackInvisible, present == 0, 0)
        }
        Outcome::Done(_) => (Invariant::CommittedDurable, present == wanted, wanted),
        Outcome::Unknown(_) | Outcome::Hung => (Invariant::ScopeAtomic, present == 0 || present == wanted, wanted),
    };
    found.check(invariant, holds, || {
        let sequence = operation.task.sequence;
        let or_none = if invariant == Invariant::ScopeAtomic { " or none" } else { "" };
        let expected = format!("{expected} rows{or_none} of task {sequence} ({}) {when}", said(operation));
        (Some(at), expected, format!("{present}"))
    });
}

/// An actor sees its own acknowledged work, and what it has seen stays.
fn while_it_ran(history: &History, operations: &[Operation], found: &mut Found) {
    for (at, read) in operations.iter().enumerate() {
        let (Work::Read { since }, Outcome::Done(seen)) = (read.task.work, &read.outcome) else { continue };
        let mut seen: BTreeMap<u32, u32> = seen.iter().map(|it| (it.sequence, it.rows)).collect();
        // An actor's operations follow each other, so all of those before had returned.
        for operation in operations[..at].iter().rev().take_while(|it| it.task.sequence >= since) {
            let wanted = operation.task.rows();
            let present = seen.remove(&operation.task.sequence).unwrap_or(0);
            if wanted == 0 {
                continue;
            }
            found.check(Invariant::NoDuplicateEffect, present <= wanted, || {
                (Some(key(read)), format!("{wanted} rows of task {}", operation.task.sequence), present.to_string())
            });
            compare(operation, present.min(wanted), "in a read", key(read), found);
            if present > 0 {
                found.check(Invariant::CommittedDurable, self::present(history, operation) > 0, || {
                    let expected = format!("what was seen of task {} is still there", operation.task.sequence);
                    (Some(key(read)), expected, "nothing of it".into())
                });
            }
        }
        found.check(Invariant::RolledBackInvisible, seen.is_empty(), || {
            (Some(key(read)), "rows of earlier tasks alone".into(), format!("rows of {seen:?}"))
        });
    }
}

/// After everything is healed, each actor's next call succeeds in time.
fn recovery(history: &History, actor: u32, operations: &[Operation], found: &mut Found) {
    let next = operations.iter().find(|it| it.invoked >= history.healed);
    let recovered = next.is_some_and(|it| {
        matches!(it.outcome, Outcome::Done(_)) && it.returned.saturating_sub(it.invoked) <= RECOVER_MAX
    });
    found.check(Invariant::Recovers, recovered, || {
        let observed = next.map_or_else(
            || "it made none".to_owned(),
            |it| format!("{} after {:?}", said(it), it.returned.saturating_sub(it.invoked)),
        );
        let at = (actor, next.map_or(0, |it| it.task.sequence));
        (Some(at), format!("the first call after healing succeeds within {RECOVER_MAX:?}"), observed)
    });
    found.check(Invariant::NoPanic, !history.panics.contains_key(&actor), || {
        (Some((actor, 0)), "no panic".into(), history.panics.get(&actor).cloned().unwrap_or_default())
    });
}

/// There are no rows that no operation can have written.
fn strangers(history: &History, found: &mut Found) {
    for &(actor, sequence, nth) in history.rows.keys() {
        let operations = usize::try_from(actor).ok().and_then(|it| history.actors.get(it));
        let written = operations
            .and_then(|it| it.get(usize::try_from(sequence).ok()?.checked_sub(1)?))
            .is_some_and(|it| it.task.sequence == sequence && (1..=it.task.rows()).contains(&nth));
        if !written {
            found.check(Invariant::RolledBackInvisible, false, || {
                (Some((actor, sequence)), "rows that were asked for".into(), format!("one with number {nth}"))
            });
        }
    }
}

/// Each account has what the moves say that are there: both halves of a move are, or neither.
fn balances(history: &History, found: &mut Found) {
    let mut expected: BTreeMap<u16, i64> = history.balances.keys().map(|it| (*it, 0)).collect();
    for operation in history.actors.iter().flatten() {
        if let Work::Move { from, to } = operation.task.work {
            let times = i64::try_from(rows(history, operation, 1)).unwrap_or(i64::MAX);
            *expected.entry(from).or_default() -= times;
            *expected.entry(to).or_default() += times;
        }
    }
    for (account, expected) in expected {
        let observed = history.balances.get(&account).copied();
        found.check(Invariant::ScopeAtomic, observed == Some(expected), || {
            let observed = observed.map_or_else(|| "no account".to_owned(), |it| it.to_string());
            (None, format!("account {account} at {expected}, as its moves say"), observed)
        });
    }
}

/// Nothing is left over.
fn leftovers(history: &History, found: &mut Found) {
    let left = &history.left;
    let mut none = |holds: bool, expected: String, observed: u32| {
        found.check(Invariant::NoLeak, holds, || (None, expected, observed.to_string()));
    };
    none(left.lent == 0, "no connection lent after everybody has ended".into(), left.lent);
    let max = left.connections_max;
    none(left.backends <= max, format!("at most {max} backends after everybody has ended"), left.backends);
    none(left.in_transaction == 0, "no backend in a transaction after everybody has ended".into(), left.in_transaction);
    none(left.backends_after == 0, "no backend after closing".into(), left.backends_after);
    none(left.tasks_after == 0, "no task after closing".into(), left.tasks_after);
    found
        .check(Invariant::NoHang, left.stopped, || (None, "closing ends".into(), "it did not within the limit".into()));
}

fn rows(history: &History, operation: &Operation, nth: u32) -> u64 {
    let (actor, sequence) = key(operation);
    history.rows.get(&(actor, sequence, nth)).copied().unwrap_or(0)
}

/// How many of an operation's rows are there at the end, each counted once.
fn present(history: &History, operation: &Operation) -> u32 {
    let there = (1..=operation.task.rows()).filter(|nth| rows(history, operation, *nth) > 0);
    u32::try_from(there.count()).unwrap_or(u32::MAX)
}

fn key(operation: &Operation) -> (u32, u32) {
    (operation.task.actor, operation.task.sequence)
}

fn said(operation: &Operation) -> String {
    match &operation.outcome {
        Outcome::Done(_) => "acknowledged".into(),
        Outcome::NotDone(why) => format!("definitely not done: {why}"),
        Outcome::Unknown(why) => format!("unknown: {why}"),
        Outcome::Hung => "hung".into(),
    }
}

#[derive(Default)]
struct Found {
    findings: BTreeMap<Invariant, Finding>,
    evaluated: BTreeMap<Invariant, u64>,
}

impl Found {
    fn check(
        &mut self,
        invariant: Invariant,
        holds: bool,
        wrong: impl FnOnce() -> (Option<(u32, u32)>, String, String),
    ) {
        *self.evaluated.entry(invariant).or_default() += 1;
        if holds {
            return;
        }
        if let Some(finding) = self.findings.get_mut(&invariant) {
            finding.count += 1;
            return;
        }
        let (at, expected, observed) = wrong();
        self.findings.insert(invariant, Finding { invariant, count: 1, at, expected, observed });
    }

    fn judgement(self) -> Judgement {
        Judgement { findings: self.findings.into_values().collect(), evaluated: self.evaluated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storm::history::Left;
    use crate::storm::work::{End, Seen, Task};

    const HEALED: Duration = Duration::from_secs(100);

    fn append(rows: u32) -> Work {
        Work::Append { rows, end: End::Commit }
    }

    fn unknown() -> Outcome {
        Outcome::Unknown("cancelled".into())
    }

    /// One actor's operations, one second each, and a last one that shows that it has recovered.
    fn history(done: &[(Work, Outcome)], rows: &[((u32, u32), u64)]) -> History {
        let mut operations: Vec<Operation> = Vec::new();
        for (sequence, (work, outcome)) in (1..).zip(done) {
            let task = Task { actor: 0, sequence, work: *work };
            let at = Duration::from_secs(sequence.into());
            let operation = Operation { task, invoked: at, returned: at, outcome: outcome.clone(), cancelled: false };
            operations.push(operation);
        }
        let sequence = u32::try_from(done.len()).unwrap() + 1;
        let task = Task { actor: 0, sequence, work: Work::Read { since: sequence } };
        let outcome = Outcome::Done(Vec::new());
        operations.push(Operation { task, invoked: HEALED, returned: HEALED, outcome, cancelled: false });
        History {
            actors: vec![operations],
            healed: HEALED,
            rows: rows.iter().map(|((sequence, nth), count)| ((0, *sequence, *nth), *count)).collect(),
            balances: [(0, 0), (1, 0)].into(),
            left: Left { connections_max: 1, stopped: true, ..Left::default() },
            ..History::default()
        }
    }

    fn broken(history: &History) -> Vec<Invariant> {
        judge(history).findings.iter().map(|it| it.invariant).collect()
    }

    fn of(work: Work, outcome: Outcome, rows: &[((u32, u32), u64)]) -> Vec<Invariant> {
        broken(&history(&[(work, outcome)], rows))
    }

    #[test]
    fn acknowledged_rows_have_to_be_there() {
        let done = || Outcome::Done(Vec::new());
        assert_eq!(of(append(2), done(), &[((1, 1), 1), ((1, 2), 1)]), []);
        assert_eq!(of(append(2), done(), &[]), [Invariant::CommittedDurable]);
        assert_eq!(of(append(2), done(), &[((1, 1), 1)]), [Invariant::CommittedDurable]);
    }

    #[test]
    fn row_that_is_there_twice_was_written_twice() {
        assert_eq!(of(append(1), Outcome::Done(Vec::new()), &[((1, 1), 2)]), [Invariant::NoDuplicateEffect]);
        assert_eq!(of(append(1), unknown(), &[((1, 1), 2)]), [Invariant::NoDuplicateEffect]);
    }

    #[test]
    fn unknown_transaction_is_there_whole_or_not_at_all() {
        assert_eq!(of(append(2), unknown(), &[]), []);
        assert_eq!(of(append(2), unknown(), &[((1, 1), 1), ((1, 2), 1)]), []);
        assert_eq!(of(append(2), unknown(), &[((1, 2), 1)]), [Invariant::ScopeAtomic]);
        assert_eq!(of(append(2), Outcome::Hung, &[((1, 2), 1)]), [Invariant::ScopeAtomic, Invariant::NoHang]);
    }

    #[test]
    fn what_was_not_done_is_not_there() {
        let rows = [((1, 1), 1)];
        assert_eq!(of(append(1), Outcome::NotDone("refused".into()), &rows), [Invariant::RolledBackInvisible]);
        let rolled_back = Work::Append { rows: 1, end: End::Rollback };
        for outcome in [Outcome::Done(Vec::new()), unknown()] {
            assert_eq!(of(rolled_back, outcome.clone(), &[]), []);
            assert_eq!(of(rolled_back, outcome, &rows), [Invariant::RolledBackInvisible]);
        }
        assert_eq!(of(append(1), Outcome::NotDone("refused".into()), &[((7, 1), 1)]), [Invariant::RolledBackInvisible]);
    }

    #[test]
    fn move_changes_both_accounts_or_none() {
        let work = Work::Move { from: 0, to: 1 };
        let mut moved = history(&[(work, unknown())], &[((1, 1), 1)]);
        assert_eq!(broken(&moved), [Invariant::ScopeAtomic]);
        moved.balances = [(0, -1), (1, 1)].into();
        assert_eq!(broken(&moved), []);
        moved.rows.clear();
        assert_eq!(broken(&moved), [Invariant::ScopeAtomic]);
    }

    #[test]
    fn actor_sees_its_own_work_and_what_it_saw_stays() {
        let read = |rows| (Work::Read { since: 1 }, Outcome::Done(vec![Seen { sequence: 1, rows }]));
        let blind = (Work::Read { since: 1 }, Outcome::Done(Vec::new()));
        let there = [((1, 1), 1), ((1, 2), 1)];
        let acknowledged = || (append(2), Outcome::Done(Vec::new()));
        assert_eq!(broken(&history(&[acknowledged(), read(2)], &there)), []);
        assert_eq!(broken(&history(&[acknowledged(), blind.clone()], &there)), [Invariant::CommittedDurable]);
        assert_eq!(broken(&history(&[acknowledged(), read(4)], &there)), [Invariant::NoDuplicateEffect]);
        let in_doubt = || (append(2), unknown());
        assert_eq!(broken(&history(&[in_doubt(), blind], &there)), [], "it may arrive later");
        assert_eq!(broken(&history(&[in_doubt(), read(1)], &there)), [Invariant::ScopeAtomic]);
        assert_eq!(broken(&history(&[in_doubt(), read(2)], &[])), [Invariant::CommittedDurable]);
    }

    #[test]
    fn actor_that_does_not_recover_is_seen() {
        let mut late = history(&[], &[]);
        assert_eq!(broken(&late), []);
        late.actors[0][0].returned = HEALED + RECOVER_MAX + Duration::from_millis(1);
        assert_eq!(broken(&late), [Invariant::Recovers]);
        late.actors[0][0].returned = HEALED;
        late.actors[0][0].outcome = Outcome::NotDone("no connection".into());
        assert_eq!(broken(&late), [Invariant::Recovers]);
        late.actors[0].clear();
        assert_eq!(broken(&late), [Invariant::Recovers]);
    }

    #[test]
    fn what_is_left_over_is_seen() {
        let leaks: [fn(&mut Left); 5] = [
            |it| it.lent = 1,
            |it| it.backends = 2,
            |it| it.in_transaction = 1,
            |it| it.backends_after = 1,
            |it| it.tasks_after = 1,
        ];
        for leak in leaks {
            let mut history = history(&[], &[]);
            leak(&mut history.left);
            assert_eq!(broken(&history), [Invariant::NoLeak]);
        }
        let mut open = history(&[], &[]);
        open.left.stopped = false;
        open.panics.insert(0, "boo".into());
        assert_eq!(broken(&open), [Invariant::NoPanic, Invariant::NoHang]);
    }
}
