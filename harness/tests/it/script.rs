//! Histories written by hand, and what the oracle says of them.

use std::collections::BTreeMap;

use unstale_harness::history::{By, ConnectionId, Event, Failure, FailureClass, History, Outcome, Reply, What};
use unstale_harness::oracle::{Invariant, Oracle, Verdict};
use unstale_harness::plan::{ActorId, Build, Key, Service, Step, Value};

/// Writes histories down.
#[derive(Default)]
pub(crate) struct Script {
    events: Vec<Event>,
    taken: BTreeMap<usize, usize>,
}

pub(crate) const C1: ConnectionId = ConnectionId(1);

impl Script {
    pub(crate) fn push(&mut self, actor: usize, what: What) -> &mut Self {
        let step = self.taken.get(&actor).copied().unwrap_or(1) - 1;
        let by = (actor < usize::MAX).then(|| By { actor: ActorId::new(actor), step });
        self.events.push(Event { by, what });
        self
    }

    /// Something that belongs to no command.
    pub(crate) fn note(&mut self, what: What) -> &mut Self {
        self.events.push(Event { by: None, what });
        self
    }

    pub(crate) fn invoke(&mut self, actor: usize, text: &str) -> &mut Self {
        *self.taken.entry(actor).or_default() += 1;
        let step: Step = text.parse().expect("the step is written by hand");
        self.push(actor, What::Invoked(step))
    }

    pub(crate) fn command(&mut self, actor: usize, text: &str, evidence: &[What], outcome: Outcome) -> &mut Self {
        self.invoke(actor, text);
        for what in evidence {
            self.push(actor, what.clone());
        }
        self.push(actor, What::Returned(outcome))
    }

    pub(crate) fn done(&mut self, actor: usize, text: &str, evidence: &[What]) -> &mut Self {
        self.command(actor, text, evidence, Outcome::Done(Reply::Done))
    }

    pub(crate) fn get(&mut self, actor: usize, text: &str, value: Option<Value>) -> &mut Self {
        self.command(actor, text, &[], Outcome::Done(Reply::Value(value)))
    }

    pub(crate) fn failed(&mut self, actor: usize, text: &str, class: FailureClass) -> &mut Self {
        self.command(actor, text, &[], Outcome::Failed(Failure::new(class, "an error")))
    }

    /// Builds a service from these, if it has to, and has one.
    pub(crate) fn resolve(
        &mut self,
        actor: usize,
        text: &str,
        built: Option<(u16, Service, &[u16])>,
        had: u16,
    ) -> &mut Self {
        let built = built.map(|(build, service, parts)| What::Built {
            build: Build(build),
            service,
            parts: parts.iter().copied().map(Build).collect(),
        });
        let evidence: Vec<_> = built.into_iter().collect();
        self.command(actor, text, &evidence, Outcome::Done(Reply::Services(vec![Build(had)])))
    }

    /// The end of every history: two actors were planned, the third and later ones observe.
    pub(crate) fn finish(&mut self, rows: &[(u8, Value)]) -> History {
        if !self.events.iter().any(|it| it.what == What::PlanOver) {
            self.note(What::PlanOver);
        }
        self.note(What::Stopped);
        let rows = rows.iter().map(|(key, value)| (Key(*key), *value)).collect();
        self.note(What::FinalState(rows));
        History { events: std::mem::take(&mut self.events), planned: 2, ..History::default() }
    }
}

pub(crate) fn autocommit() -> [What; 3] {
    [What::Served(C1), What::Wrote(C1), What::Committed(C1)]
}

pub(crate) const DONE: Outcome = Outcome::Done(Reply::Done);

/// What the oracle condemns, and whether it does.
pub(crate) fn condemned(history: &History) -> Option<Invariant> {
    match Oracle::default().judge(history).verdict {
        Verdict::Violation(it) => Some(it.invariant),
        Verdict::Pass => None,
        Verdict::Inconclusive(why) => panic!("inconclusive: {why}"),
    }
}

#[track_caller]
pub(crate) fn only_broken(invariant: Invariant, write: impl Fn(&mut Script, bool) -> History) {
    assert_eq!(condemned(&write(&mut Script::default(), true)), Some(invariant), "broken");
    assert_eq!(condemned(&write(&mut Script::default(), false)), None, "sound");
}
