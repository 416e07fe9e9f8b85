//! How often a plan breaks, and whether another one breaks about as often: a count of runs, and a sequential test.
//!
//! Owns the count, the errors of the test and the ratio that it tolerates. It runs nothing: the search asks after each run
//! whether it needs another one. Pure.
//!
//! The test is the sequential probability ratio test of Wald ("Sequential Tests of Statistical Hypotheses", Annals of
//! Mathematical Statistics 16, 1945) with a mixture in the place of its one alternative (Robbins, "Statistical Methods Related
//! to the Law of the Iterated Logarithm", same journal 41, 1970), so that a candidate that never breaks, or always, is
//! decided within few runs. Two mixtures watch the same runs:
//!
//! - *rarer*: alternatives below the reference rate p, against p. It reaches 1/α with a probability of at most [`ALPHA`] for
//!   any candidate that breaks at p or above.
//! - *as often*: alternatives above p/[`TOLERATED`], against that. It reaches 1/β with a probability of at most [`BETA`] for
//!   any candidate that breaks at p/[`TOLERATED`] or below.
//!
//! Both bounds hold however long the test goes on (Ville's inequality), and for every rate beyond the two limits, since
//! the likelihood ratio falls, on the average, the further the rate is away from the alternatives. Between the limits
//! either answer is right. Not covered is the error of the reference itself, which is measured by as many runs as give it
//! [`REFERENCE_HITS`] breaks.

use std::fmt;

/// The probability that a plan that breaks as often as the reference is taken for one that breaks more rarely.
pub const ALPHA: f64 = 0.05;

/// The probability that a plan that breaks more rarely than is tolerated is taken for one that breaks as often.
pub const BETA: f64 = 0.05;

/// A plan that breaks this many times more rarely than the reference is not taken for it.
pub const TOLERATED: f64 = 1.5;

/// A reference is measured until it broke so often: its standard error is less than a quarter of it then.
pub(super) const REFERENCE_HITS: u32 = 20;

/// A reference is not run more often than this, however rarely it breaks.
pub(super) const REFERENCE_RUNS_MAX: u32 = 120;

/// The runs of a candidate while the plan has broken every time.
const STEADY_RUNS: u32 = 2;

/// The runs that measure a minimal plan that has broken every time.
const STEADY_REPLAYS: u32 = 10;

/// A candidate is not run longer than a plan that breaks as often as the reference takes to break so many times; a test for
/// which it is not decided by then usually would have to go on for as long again.
const HITS_MAX: f64 = 100.0;

/// Nobody is told to run a plan more often than this to see it break.
const RUNS_TO_SEE_MAX: u32 = 1000;

/// How often a plan broke, of how many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// The runs in which it broke.
    pub hits: u32,
    /// All its runs.
    pub runs: u32,
}

/// What the runs of a plan say of how often it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// About as often as it must, or more often.
    AsOften,
    /// More rarely than is tolerated.
    Rarer,
    /// Another run is needed.
    Open,
}

/// How often a smaller plan has to break in the place of the one before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Standard {
    /// Every time, as far as is known.
    Always,
    /// About as often as this.
    AsOften(f64),
}

impl Rate {
    /// Counts a run.
    pub fn count(&mut self, broke: bool) {
        self.hits += u32::from(broke);
        self.runs += 1;
    }

    /// Whether it broke in every run.
    pub fn is_steady(self) -> bool {
        self.runs > 0 && self.hits == self.runs
    }

    /// The probability that is most likely, drawn a little towards one half, so that it is never 0 or 1.
    pub fn estimate(self) -> f64 {
        (f64::from(self.hits) + 0.5) / (f64::from(self.runs) + 1.0)
    }

    /// How many runs show a break with a probability of 99 of 100.
    pub fn runs_to_see_it(self) -> u32 {
        let misses = 1.0 - self.estimate();
        (1..RUNS_TO_SEE_MAX).find(|runs| misses.powf(f64::from(*runs)) <= 0.01).unwrap_or(RUNS_TO_SEE_MAX)
    }

    /// The interval that covers the probability in 95 of 100 cases (Wilson, "Probable Inference, the Law of Succession, and
    /// Statistical Inference", Journal of the American Statistical Association 22, 1927).
    pub fn interval(self) -> (f64, f64) {
        const Z: f64 = 1.96;
        if self.runs == 0 {
            return (0.0, 1.0);
        }
        let runs = f64::from(self.runs);
        let share = f64::from(self.hits) / runs;
        let scale = 1.0 + Z * Z / runs;
        let middle = share + Z * Z / (2.0 * runs);
        let half = Z * (share * (1.0 - share) / runs + Z * Z / (4.0 * runs * runs)).sqrt();
        (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.hits, self.runs)
    }
}

impl Standard {
    /// The standard that a plan sets that broke at this rate, although not every time.
    pub(super) fn set_by(rate: Rate) -> Self {
        Self::AsOften(rate.estimate().min(0.98))
    }

    /// What the runs of a candidate come to.
    pub(super) fn judge(self, seen: Rate) -> Answer {
        match self {
            Self::Always if !seen.is_steady() => Answer::Rarer,
            Self::Always if seen.runs < STEADY_RUNS => Answer::Open,
            Self::Always => Answer::AsOften,
            Self::AsOften(reference) => compare(reference, seen),
        }
    }

    /// Whether a candidate that is still undecided is given up.
    pub(super) fn gives_up(self, seen: Rate) -> bool {
        match self {
            Self::Always => false,
            Self::AsOften(reference) => f64::from(seen.runs) * reference >= HITS_MAX,
        }
    }

    /// Whether these runs of a minimal plan are enough to report its rate.
    pub(super) fn is_measured_by(self, seen: Rate) -> bool {
        match self {
            Self::Always => seen.runs >= STEADY_REPLAYS || seen.hits < seen.runs,
            Self::AsOften(_) => match self.judge(seen) {
                Answer::Rarer => true,
                Answer::AsOften => seen.hits >= REFERENCE_HITS,
                Answer::Open => self.gives_up(seen),
            },
        }
    }
}

/// Compares the runs of a candidate with the rate of the reference.
fn compare(reference: f64, seen: Rate) -> Answer {
    let limit = reference / TOLERATED;
    let rarer = [(0.5, limit), (0.25, reference / 4.0), (0.25, reference / 50.0)];
    if mixture(&rarer, reference, seen) >= 1.0 / ALPHA {
        return Answer::Rarer;
    }
    let as_often = [(0.5, reference), (0.25, (1.0 + reference) / 2.0), (0.25, 0.99)];
    if mixture(&as_often, limit, seen) >= 1.0 / BETA { Answer::AsOften } else { Answer::Open }
}

/// The likelihood of what was seen under the weighted alternatives, over its likelihood under the hypothesis.
fn mixture(alternatives: &[(f64, f64)], hypothesis: f64, seen: Rate) -> f64 {
    let likelihood = |rate: f64| {
        let (hits, misses) = (f64::from(seen.hits), f64::from(seen.runs - seen.hits));
        hits * rate.ln() + misses * (1.0 - rate).ln()
    };
    alternatives.iter().map(|(weight, rate)| weight * (likelihood(*rate) - likelihood(hypothesis)).exp()).sum()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Tosses a coin until the test answers, and returns the answer and the tosses.
    fn toss(standard: Standard, probability: f64, random: &mut StdRng) -> (Answer, u32) {
        let mut seen = Rate::default();
        loop {
            seen.count(random.random_bool(probability));
            match standard.judge(seen) {
                Answer::Open if standard.gives_up(seen) => return (Answer::Open, seen.runs),
                Answer::Open => {}
                answer => return (answer, seen.runs),
            }
        }
    }

    /// The share of coins that are answered so, and the tosses of a coin on the average.
    fn share(reference: f64, probability: f64, answer: Answer) -> (f64, f64) {
        const COINS: u32 = 2000;
        let mut random = StdRng::seed_from_u64(7);
        let tossed: Vec<_> = (0..COINS).map(|_| toss(Standard::AsOften(reference), probability, &mut random)).collect();
        let so = tossed.iter().filter(|coin| coin.0 == answer).count();
        let tosses: u32 = tossed.iter().map(|coin| coin.1).sum();
        (f64::from(u32::try_from(so).unwrap()) / f64::from(COINS), f64::from(tosses) / f64::from(COINS))
    }

    #[test]
    fn coin_at_the_tolerated_limit_or_below_is_rarely_accepted() {
        for reference in [0.9, 0.5, 0.2, 0.1] {
            for ratio in [1.5, 2.0, 3.0, 10.0] {
                let (accepted, _) = share(reference, reference / ratio, Answer::AsOften);
                assert!(accepted <= BETA, "{reference} / {ratio}: {accepted} were accepted");
            }
        }
    }

    #[test]
    fn coin_as_good_as_the_reference_or_better_is_rarely_rejected() {
        for reference in [0.9, 0.5, 0.2, 0.1] {
            for probability in [reference, (1.0 + reference) / 2.0, 1.0] {
                let (rejected, _) = share(reference, probability, Answer::Rarer);
                assert!(rejected <= ALPHA, "{reference}, {probability}: {rejected} were rejected");
                let (accepted, _) = share(reference, probability, Answer::AsOften);
                assert!(accepted >= 0.85, "{reference}, {probability}: only {accepted} were accepted");
            }
        }
    }

    #[test]
    fn coin_that_never_or_always_falls_is_decided_quickly() {
        let (rejected, tosses) = share(0.5, 0.0, Answer::Rarer);
        assert!(rejected == 1.0 && tosses <= 8.0, "{tosses}");
        let (accepted, tosses) = share(0.5, 1.0, Answer::AsOften);
        assert!(accepted == 1.0 && tosses <= 8.0, "{tosses}");
        let (accepted, tosses) = share(0.5, 0.5, Answer::AsOften);
        assert!(accepted >= 0.9 && tosses <= 100.0, "{tosses}");
    }

    #[test]
    fn steady_plan_costs_one_run_for_each_candidate_and_one_that_confirms() {
        let judged = |hits, runs| Standard::Always.judge(Rate { hits, runs });
        assert_eq!(judged(0, 1), Answer::Rarer);
        assert_eq!(judged(1, 1), Answer::Open);
        assert_eq!(judged(1, 2), Answer::Rarer);
        assert_eq!(judged(2, 2), Answer::AsOften);
        assert!(Standard::Always.is_measured_by(Rate { hits: 10, runs: 10 }));
        assert!(Standard::Always.is_measured_by(Rate { hits: 2, runs: 3 }), "it is not steady");
        assert!(!Standard::Always.is_measured_by(Rate { hits: 9, runs: 9 }));
    }

    #[test]
    fn rarer_break_takes_more_runs_to_be_seen() {
        assert_eq!(Rate { hits: 20, runs: 40 }.runs_to_see_it(), 7);
        assert!((40..60).contains(&Rate { hits: 9, runs: 100 }.runs_to_see_it()));
        assert_eq!(Rate { hits: 0, runs: 100_000 }.runs_to_see_it(), RUNS_TO_SEE_MAX);
    }

    #[test]
    fn interval_holds_the_share_and_narrows() {
        let few = Rate { hits: 5, runs: 10 }.interval();
        let many = Rate { hits: 50, runs: 100 }.interval();
        assert!(few.0 < many.0 && many.0 < 0.5 && 0.5 < many.1 && many.1 < few.1);
        assert_eq!(Rate { hits: 10, runs: 10 }.interval().1, 1.0);
        assert_eq!(Rate::default().interval(), (0.0, 1.0));
    }
}
