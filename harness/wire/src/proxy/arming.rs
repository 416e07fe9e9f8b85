//! What is armed: which connection meets what, and when.
//!
//! Owns the list that the plan's thread writes and the proxy's thread looks at. Pure but for the lock; doing it is the pipe's
//! part.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disturb::cuts_after;
use crate::fault::{Moment, NetworkFault};

/// One arming, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arming(u32);

/// Whom an arming is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The next connection that comes to the moment.
    Next,
    /// This connection, once.
    One(u32),
    /// Every connection, once each; new ones too, until it is taken back.
    All,
}

/// What a harness does to the server at a moment; it gets the pid of the backend.
pub(super) type Call = Arc<dyn Fn(u32) + Send + Sync>;

#[derive(Clone)]
pub(super) enum Act {
    Fault(NetworkFault),
    Call(Call),
}

/// What one connection meets of an arming.
pub(super) struct Claim {
    pub(super) arming: Arming,
    pub(super) act: Act,
    pub(super) moment: Moment,
}

#[derive(Default)]
pub(super) struct Armings {
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    armed: Vec<Armed>,
    last: u32,
}

struct Armed {
    arming: Arming,
    act: Act,
    moment: Moment,
    scope: Scope,
    claimed: bool,
    /// Whether its time is over: *now* was a moment ago.
    spent: bool,
    /// Connections that have met it.
    met: BTreeSet<u32>,
    landed: bool,
}

impl Armings {
    pub(super) fn arm(&self, act: Act, moment: Moment, scope: Scope) -> Arming {
        let mut list = self.lock();
        list.last += 1;
        let arming = Arming(list.last);
        list.armed.push(Armed {
            arming,
            act,
            moment,
            scope,
            claimed: false,
            spent: false,
            met: BTreeSet::new(),
            landed: false,
        });
        arming
    }

    /// What the connection meets at this moment, at most once per arming. There is no connection yet at `connect`.
    pub(super) fn claim(&self, connection: Option<u32>, moment: Moment) -> Option<Claim> {
        self.claim_if(connection, moment, |act| !act.is_cut() && !act.is_refusal())
    }

    /// What cuts the reply that begins now.
    pub(super) fn claim_cut(&self, connection: u32) -> Option<Claim> {
        self.claim_if(Some(connection), Moment::MidReply, Act::is_cut)
    }

    /// What shuts the door: no connection ever meets it.
    pub(super) fn claim_refusal(&self) -> Option<Claim> {
        let mut list = self.lock();
        let refuses = |it: &&mut Armed| !it.claimed && it.act.is_refusal();
        let armed = list.armed.iter_mut().find(refuses)?;
        armed.claimed = true;
        Some(Claim { arming: armed.arming, act: armed.act.clone(), moment: armed.moment })
    }

    /// Whether [`Armings::claim`] would answer anything.
    pub(super) fn awaits(&self, connection: u32, moment: Moment) -> bool {
        self.lock().armed.iter().any(|it| it.is_for(Some(connection), moment) && !it.act.is_cut())
    }

    /// Disarms everything that is armed for this moment so far.
    pub(super) fn spend(&self, moment: Moment) {
        self.lock().armed.iter_mut().filter(|it| it.moment == moment).for_each(|it| it.spent = true);
    }

    pub(super) fn landed(&self, arming: Arming) {
        self.lock().armed.iter_mut().filter(|it| it.arming == arming).for_each(|it| it.landed = true);
    }

    /// Takes one back; whether it had landed.
    pub(super) fn withdraw(&self, arming: Arming) -> bool {
        let mut list = self.lock();
        let at = list.armed.iter().position(|it| it.arming == arming);
        at.is_some_and(|at| list.armed.remove(at).landed)
    }

    pub(super) fn clear(&self) {
        self.lock().armed.clear();
    }

    fn claim_if(&self, connection: Option<u32>, moment: Moment, wanted: impl Fn(&Act) -> bool) -> Option<Claim> {
        let mut list = self.lock();
        let armed = list.armed.iter_mut().find(|it| it.is_for(connection, moment) && wanted(&it.act))?;
        armed.claimed = true;
        armed.met.extend(connection);
        Some(Claim { arming: armed.arming, act: armed.act.clone(), moment })
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        // Whole at every point: one push, one removal, one field at a time.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Armed {
    fn is_for(&self, connection: Option<u32>, moment: Moment) -> bool {
        self.moment == moment
            && !self.spent
            && match self.scope {
                Scope::Next => !self.claimed,
                Scope::One(id) => !self.claimed && connection == Some(id),
                Scope::All => connection.is_none_or(|id| !self.met.contains(&id)),
            }
    }
}

impl Act {
    fn is_cut(&self) -> bool {
        matches!(self, Self::Fault(fault) if cuts_after(*fault).is_some())
    }

    fn is_refusal(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.row().for_everybody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_in_scope_meets_it_once() {
        let met = |scope| {
            let armings = Armings::default();
            armings.arm(Act::Fault(NetworkFault::Reset), Moment::Sent, scope);
            let meets = |it: &u32| armings.claim(Some(*it), Moment::Sent).is_some();
            assert!(armings.claim(Some(2), Moment::BeforeSend).is_none());
            [1, 2, 1, 2].into_iter().filter(meets).collect::<Vec<_>>()
        };
        assert_eq!(met(Scope::Next), [1]);
        assert_eq!(met(Scope::One(2)), [2]);
        assert_eq!(met(Scope::All), [1, 2]);
    }

    #[test]
    fn withdrawn_one_is_met_by_nobody_and_says_whether_it_landed() {
        let armings = Armings::default();
        let arm = || armings.arm(Act::Fault(NetworkFault::Reset), Moment::Sent, Scope::Next);
        let (first, second) = (arm(), arm());
        let claim = armings.claim(Some(1), Moment::Sent).map(|it| it.arming);
        assert_eq!(claim, Some(first));
        armings.landed(first);
        assert!(armings.withdraw(first) && !armings.withdraw(second) && !armings.withdraw(second));
        assert!(armings.claim(Some(1), Moment::Sent).is_none());
    }
}
