//! A table with one entry for each command of a history.
//!
//! Judging looks commands up far more often than it adds them, so they lie in one row, by actor and step.

use super::By;
use crate::plan::ActorId;

/// Values by command. Iterates by actor, then by step.
#[derive(Clone, Debug)]
pub struct ByCommand<T> {
    /// Where the commands of each actor begin, and where those of the last one end.
    first: Vec<usize>,
    entries: Vec<Option<T>>,
}

impl<T> ByCommand<T> {
    /// An empty table with room for these commands.
    pub fn with_room_for(commands: impl Iterator<Item = By>) -> Self {
        let mut steps: Vec<usize> = Vec::new();
        for by in commands {
            let actor = by.actor.index();
            if actor >= steps.len() {
                steps.resize(actor + 1, 0);
            }
            steps[actor] = steps[actor].max(by.step + 1);
        }
        let mut first = Vec::with_capacity(steps.len() + 1);
        let mut end = 0;
        first.push(end);
        first.extend(steps.iter().map(|it| {
            end += it;
            end
        }));
        let mut entries = Vec::new();
        entries.resize_with(end, || None);
        Self { first, entries }
    }

    /// The same commands, with nothing entered for them.
    pub fn emptied<U>(&self) -> ByCommand<U> {
        let mut entries = Vec::new();
        entries.resize_with(self.entries.len(), || None);
        ByCommand { first: self.first.clone(), entries }
    }

    fn place(&self, by: By) -> Option<usize> {
        let actor = by.actor.index();
        let (first, end) = (*self.first.get(actor)?, *self.first.get(actor + 1)?);
        (first + by.step < end).then_some(first + by.step)
    }

    /// What was entered for this command.
    pub fn get(&self, by: By) -> Option<&T> {
        self.entries[self.place(by)?].as_ref()
    }

    /// The place of this command; none if the table has no room for it.
    pub fn entry(&mut self, by: By) -> Option<&mut Option<T>> {
        let place = self.place(by)?;
        Some(&mut self.entries[place])
    }

    /// Every command and what was entered for it.
    pub fn iter(&self) -> impl Iterator<Item = (By, &T)> {
        let actors = self.first.windows(2).enumerate();
        actors.flat_map(|(actor, range)| self.steps(ActorId::new(actor), range[0], range[1]))
    }

    /// What was entered.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().flatten()
    }

    /// The earlier commands of the same actor.
    pub fn before(&self, by: By) -> impl DoubleEndedIterator<Item = (By, &T)> {
        let (first, end) = match self.place(by) {
            Some(place) => (place - by.step, place),
            None => (0, 0),
        };
        self.steps(by.actor, first, end)
    }

    fn steps(&self, actor: ActorId, first: usize, end: usize) -> impl DoubleEndedIterator<Item = (By, &T)> {
        let entries = self.entries[first..end].iter().enumerate();
        entries.filter_map(move |(step, it)| Some((By { actor, step }, it.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(actor: usize, step: usize) -> By {
        By { actor: ActorId::new(actor), step }
    }

    #[test]
    fn entries_are_found_by_actor_and_step_and_nowhere_else() {
        let commands = [by(2, 0), by(0, 1), by(0, 0), by(2, 1)];
        let mut table = ByCommand::with_room_for(commands.into_iter());
        for it in commands {
            *table.entry(it).expect("there is room") = Some(it);
        }
        assert_eq!(table.iter().map(|it| it.0).collect::<Vec<_>>(), [by(0, 0), by(0, 1), by(2, 0), by(2, 1)]);
        assert!(table.iter().all(|(key, value)| key == *value && table.get(key) == Some(value)));
        assert_eq!(table.before(by(2, 1)).map(|it| it.0).collect::<Vec<_>>(), [by(2, 0)]);
        for absent in [by(0, 2), by(1, 0), by(3, 0)] {
            assert!(table.get(absent).is_none() && table.entry(absent).is_none());
            assert_eq!(table.before(absent).count(), 0);
        }
        assert_eq!(table.emptied::<u8>().values().count(), 0);
    }
}
