//! The invariant of the order of writes: `linearizable`.
//!
//! Owns the search for one order of what was done to a row, by the algorithm of Wing and Gong (*Testing and verifying concurrent
//! objects*, 1993) with the memory of Lowe (*Testing for linearizability*, 2017). A row is a register: it is written, read, and
//! swapped, and each of these took effect at one moment between its invocation and its reply, or within its commit.
//!
//! Not checked: rows on which nothing overlapped and nothing was swapped, where [`values`](super::values) says the same; the
//! order across rows; rows that an extension may write; searches of more than 20,000 states.

use std::collections::BTreeSet;

use super::checked::Checked;
use super::view::View;
use crate::model::Claims;
use crate::plan::{Command, Key, Value};
use crate::verdict::Invariant;

/// How many states one search visits at most; a row that needs more counts as explained.
const STATES_MAX: usize = 20_000;

/// The most operations on one row: one bit for each.
const OPERATIONS_MAX: usize = 64;

/// The writes and reads of each row can be put into one order that explains them.
pub fn linearizable(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    if view.facts.spans.values().any(|it| matches!(it.step.command, Command::Extra(_))) {
        return checked;
    }
    let end = view.facts.history.events.len().saturating_sub(1);
    let mut keys: Vec<Key> = view.claims.committed.iter().map(|it| it.key).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let row = Row::of(&view.claims, key);
        if !row.is_contended() || row.operations.len() > OPERATIONS_MAX || is_wrong_anyway(view, key) {
            continue;
        }
        checked.evaluated += 1;
        let last = view.facts.final_state.map(|it| it.get(&key).copied());
        if row.is_explained(usize::MAX, last) {
            continue;
        }
        // The first reply that no order explains, or the final state.
        let mut replies: Vec<usize> = row.operations.iter().map(|it| it.until).filter(|it| *it <= end).collect();
        replies.sort_unstable();
        let at = replies.into_iter().find(|at| !row.is_explained(*at, None)).unwrap_or(end);
        let expected =
            format!("one order of all that was done to {key}, in which nothing comes between a swap and what it read");
        checked.found(view, Invariant::Linearizable, at, expected, row.story(at, last));
    }
    checked
}

/// Whether another invariant has something against a value of this row, which would be said twice.
fn is_wrong_anyway(view: &View<'_>, key: Key) -> bool {
    view.seen.reads.iter().any(|(read, _)| read.key == key) || view.seen.rows.iter().any(|(row, ..)| *row == key)
}

/// What was done to one row.
struct Row {
    key: Key,
    operations: Vec<Operation>,
}

struct Operation {
    /// It took effect between these events; one whose second is beyond the history may never have.
    from: usize,
    until: usize,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// The value was put there, or the row deleted; what it is known to have replaced.
    Written(Option<Value>, Option<Value>),
    Read(Option<Value>),
}

impl Row {
    fn of(claims: &Claims, key: Key) -> Self {
        let writes = claims.committed.iter().filter(|it| it.key == key);
        let writes = writes.map(|it| {
            let what = What::Written(it.value, it.replaced);
            Operation { from: it.from, until: it.until, what }
        });
        // A read of what its own transaction has written says nothing of the others'.
        let reads = claims.reads.iter().filter(|it| it.key == key && it.own.is_none());
        let reads = reads.map(|it| Operation { from: it.from, until: it.at, what: What::Read(it.seen) });
        Self { key, operations: writes.chain(reads).collect() }
    }

    /// Whether there is more to it than one thing after the other.
    fn is_contended(&self) -> bool {
        let writes = || self.operations.iter().filter(|it| matches!(it.what, What::Written(..)));
        let overlap = |one: &Operation, other: &Operation| one.from < other.until && other.from < one.until;
        writes().any(|it| matches!(it.what, What::Written(_, Some(_))))
            || writes().enumerate().any(|(at, one)| writes().skip(at + 1).any(|other| overlap(one, other)))
    }

    /// Whether there is an order of all that was answered up to this event, in which what was answered later may stand or not, and
    /// after which the row is as it was at last, if that is asked.
    fn is_explained(&self, up_to: usize, last: Option<Option<Value>>) -> bool {
        let needed = |it: &Operation| it.until <= up_to && it.until != usize::MAX;
        let all: u64 = mask(self.operations.iter().map(needed));
        let mut seen = BTreeSet::new();
        let mut open = vec![(0_u64, None)];
        while let Some((done, value)) = open.pop() {
            if done & all == all && last.is_none_or(|last| last == value) {
                return true;
            }
            if !seen.insert((done, value)) {
                continue;
            }
            if seen.len() > STATES_MAX {
                return true;
            }
            let first_end = self.left(done).filter(|(_, it)| needed(it)).map(|(_, it)| it.until).min();
            for (at, operation) in self.left(done) {
                let is_possible = first_end.is_none_or(|end| operation.from <= end);
                let after = match operation.what {
                    What::Read(read) if read == value => value,
                    What::Written(written, None) => written,
                    What::Written(written, replaced) if replaced == value => written,
                    _ => continue,
                };
                if is_possible {
                    open.push((done | 1 << at, after));
                }
            }
        }
        false
    }

    fn left(&self, done: u64) -> impl Iterator<Item = (usize, &Operation)> {
        self.operations.iter().enumerate().filter(move |(at, _)| done & 1 << at == 0)
    }

    /// What was replaced twice, or else all that was done, in the order of the replies.
    fn story(&self, at: usize, last: Option<Option<Value>>) -> String {
        let key = self.key;
        let swaps = self.operations.iter().filter_map(|it| match it.what {
            What::Written(Some(new), Some(old)) => Some((old, new)),
            _ => None,
        });
        let swaps: Vec<(Value, Value)> = swaps.collect();
        for (nth, (old, one)) in swaps.iter().enumerate() {
            if let Some((_, other)) = swaps[nth + 1..].iter().find(|(it, _)| it == old) {
                return format!("{key} = {old} was replaced by {one} and by {other}: one of them is lost");
            }
        }
        let mut done: Vec<&Operation> = self.operations.iter().filter(|it| it.until <= at).collect();
        done.sort_unstable_by_key(|it| it.until);
        let told = done.into_iter().map(|it| match it.what {
            What::Written(Some(new), Some(old)) => format!("{old} replaced by {new}"),
            What::Written(new, _) => format!("{} written", shown(new)),
            What::Read(value) => format!("{} read", shown(value)),
        });
        let told: Vec<String> = told.chain(last.map(|it| format!("{} at the end", shown(it)))).collect();
        format!("{key}: {}", told.join(", "))
    }
}

fn mask(bits: impl Iterator<Item = bool>) -> u64 {
    bits.enumerate().fold(0, |mask, (at, bit)| mask | u64::from(bit) << at)
}

fn shown(value: Option<Value>) -> String {
    value.map_or_else(|| "no row".to_owned(), |it| it.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(operations: &[(usize, usize, What)]) -> Row {
        let operations = operations.iter().map(|&(from, until, what)| Operation { from, until, what }).collect();
        Row { key: Key(1), operations }
    }

    const fn put(value: Value) -> What {
        What::Written(Some(value), None)
    }

    const fn swap(old: Value, new: Value) -> What {
        What::Written(Some(new), Some(old))
    }

    #[test]
    fn two_swaps_of_one_value_have_no_order() {
        let row = row(&[(0, 1, put(1)), (2, 5, swap(1, 2)), (3, 4, swap(1, 3))]);
        assert!(!row.is_explained(usize::MAX, None));
        assert!(row.is_explained(4, None), "until the second is answered, the first may not have happened");
        assert_eq!(row.story(5, None), "k1 = 1 was replaced by 2 and by 3: one of them is lost");
    }

    #[test]
    fn a_swap_after_another_and_a_put_before_both_have_one() {
        let all = [(0, 9, put(1)), (2, 6, swap(1, 2)), (3, 8, swap(2, 3))];
        assert!(row(&all).is_explained(usize::MAX, Some(Some(3))));
        assert!(!row(&all).is_explained(usize::MAX, Some(Some(2))));
    }

    #[test]
    fn a_put_beside_a_swap_stands_before_it_or_after_it_and_not_between() {
        let all = [(0, 1, put(1)), (2, 6, swap(1, 2)), (3, 5, put(7))];
        assert!(row(&all).is_explained(usize::MAX, Some(Some(7))));
        assert!(!row(&all).is_explained(usize::MAX, Some(Some(2))), "the put is lost");
        assert_eq!(row(&all).story(9, Some(Some(2))), "k1: 1 written, 7 written, 1 replaced by 2, 2 at the end");
    }

    #[test]
    fn readers_agree_on_the_order_of_two_writes() {
        let all = [(0, 9, put(1)), (0, 9, put(2)), (1, 2, What::Read(Some(1))), (3, 4, What::Read(Some(2)))];
        assert!(row(&all).is_explained(usize::MAX, Some(Some(2))));
        assert!(!row(&all).is_explained(usize::MAX, Some(Some(1))));
        let back = [&all[..], &[(5, 6, What::Read(Some(1)))]].concat();
        assert!(!row(&back).is_explained(usize::MAX, None));
    }

    #[test]
    fn what_may_never_have_happened_may_stand_anywhere_or_nowhere() {
        let all = [(0, 1, put(1)), (2, usize::MAX, put(2)), (3, 5, What::Read(Some(1)))];
        assert!(row(&all).is_explained(usize::MAX, Some(Some(1))));
        assert!(row(&all).is_explained(usize::MAX, Some(Some(2))));
        assert!(!row(&[all[0], all[1], all[2], (6, 7, What::Read(Some(3)))]).is_explained(usize::MAX, None));
    }
}
