//! What many searches in one system come to: in how many it was found, and how soon.
//!
//! Owns the figures and their text: the row of a Markdown table, as it stands in the document on power. `zoo` calls it. A search
//! that found nothing counts as one that took longer than any other, so that no median is better than what was seen.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// The head of the table.
pub(crate) const HEAD: &str = "\
| exhibit | found | plans, median (quartiles) | seconds, median (quartiles) | broke |
| --- | --- | --- | --- | --- |";

/// One search.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Search {
    pub(crate) seed: u64,
    /// The invariant that broke; none if it was missed.
    pub(crate) broke: Option<String>,
    /// How many plans that took, or how many were run in vain.
    pub(crate) plans: u64,
    pub(crate) seconds: f64,
    /// Violating plans that did not break again.
    pub(crate) unsure: usize,
}

/// The searches in one system.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) backend: String,
    /// Why a harness passes it, for those that were built to measure it.
    pub(crate) blind_spot: Option<&'static str>,
    /// Whether it must be found with every seed.
    pub(crate) is_due: bool,
    pub(crate) found: usize,
    pub(crate) of: usize,
    pub(crate) plans: Option<Spread>,
    pub(crate) seconds: Option<Spread>,
    pub(crate) broke: BTreeMap<String, usize>,
    pub(crate) searches: Vec<Search>,
}

/// Three quartiles, by nearest rank; one is none if it falls on a search that found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    lower: Option<f64>,
    median: Option<f64>,
    upper: Option<f64>,
}

impl Figures {
    /// What these searches come to.
    pub(crate) fn of(
        name: &'static str,
        backend: String,
        blind_spot: Option<&'static str>,
        is_due: bool,
        searches: Vec<Search>,
    ) -> Self {
        let found = || searches.iter().filter(|search| search.broke.is_some());
        let mut broke = BTreeMap::new();
        for invariant in found().filter_map(|search| search.broke.clone()) {
            *broke.entry(invariant).or_default() += 1;
        }
        Self {
            name,
            backend,
            blind_spot,
            is_due,
            found: found().count(),
            of: searches.len(),
            plans: Spread::of(found().map(|search| search.plans as f64), searches.len()),
            seconds: Spread::of(found().map(|search| search.seconds), searches.len()),
            broke,
            searches,
        }
    }

    /// Whether some search missed it.
    pub(crate) fn was_missed(&self) -> bool {
        self.found < self.of
    }

    /// Whether it was searched, and found each time.
    fn is_reliable(&self) -> bool {
        self.of > 0 && !self.was_missed()
    }

    /// The row of the table.
    pub(crate) fn row(&self) -> String {
        let Self { name, found, of, .. } = self;
        let plans = self.plans.map_or_else(nothing, |spread| spread.show(0));
        let seconds = self.seconds.map_or_else(nothing, |spread| spread.show(2));
        let broke: Vec<String> = self.broke.iter().map(|(invariant, times)| format!("{invariant} ({times})")).collect();
        let broke = if broke.is_empty() { nothing() } else { broke.join(", ") };
        format!("| `{name}` | {found} of {of} | {plans} | {seconds} | {broke} |")
    }
}

impl Spread {
    /// The quartiles of what was found, of so many searches; none of nothing.
    fn of(found: impl Iterator<Item = f64>, searches: usize) -> Option<Self> {
        let mut sorted: Vec<f64> = found.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |quarters: usize| sorted.get((quarters * searches).div_ceil(4).saturating_sub(1)).copied();
        (!sorted.is_empty()).then(|| Self { lower: at(1), median: at(2), upper: at(3) })
    }

    fn show(self, digits: usize) -> String {
        let show = |value: Option<f64>| value.map_or_else(nothing, |value| format!("{value:.digits$}"));
        format!("{} ({} to {})", show(self.median), show(self.lower), show(self.upper))
    }
}

fn nothing() -> String {
    "–".to_owned()
}

/// The last line: how many were found with every seed, and the median of the medians.
pub(crate) struct Summary<'a>(pub(crate) &'a [Figures]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0;
        let always = all.iter().filter(|figures| figures.is_reliable()).count();
        let ever = all.iter().filter(|figures| figures.found > 0).count();
        let medians = |of: fn(&Figures) -> Option<Spread>| {
            let medians = all.iter().filter_map(move |figures| of(figures)?.median);
            Spread::of(medians, all.len()).map_or_else(nothing, |spread| {
                let digits = usize::from(spread.median.is_some_and(|median| median.fract() > 0.0)) * 2;
                spread.show(digits)
            })
        };
        let number = all.len();
        write!(
            f,
            "{always} of {number} were found with every seed, {ever} with at least one; the median of the medians is \
             {} plans and {} seconds",
            medians(|figures| figures.plans),
            medians(|figures| figures.seconds),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(broke: Option<&str>, plans: u64, seconds: f64) -> Search {
        Search { seed: 0, broke: broke.map(str::to_owned), plans, seconds, unsure: 0 }
    }

    fn figures(searches: Vec<Search>) -> Figures {
        Figures::of("zoo-residue", "sqlite".into(), None, true, searches)
    }

    #[test]
    fn row_has_the_median_between_the_quartiles_and_what_broke() {
        let plans = [5, 1, 3, 2, 4];
        let all = figures(plans.map(|plans| search(Some("no-residue"), plans, 0.5)).into());
        let row = "| `zoo-residue` | 5 of 5 | 3 (2 to 4) | 0.50 (0.50 to 0.50) | no-residue (5) |";
        assert_eq!(all.row(), row);
    }

    #[test]
    fn search_that_missed_took_longer_than_every_other() {
        let missed = || search(None, 2000, 20.0);
        let half = figures(vec![search(Some("no-leak"), 7, 0.25), missed(), search(Some("no-hang"), 9, 1.0), missed()]);
        assert_eq!(half.row(), "| `zoo-residue` | 2 of 4 | 9 (7 to –) | 1.00 (0.25 to –) | no-hang (1), no-leak (1) |");
        assert!(half.was_missed());
        assert_eq!(figures(vec![missed()]).row(), "| `zoo-residue` | 0 of 1 | – | – | – |");
    }

    #[test]
    fn summary_counts_what_was_never_missed() {
        let found = || search(Some("no-leak"), 8, 2.0);
        let all = [figures(vec![found(), found()]), figures(vec![found(), search(None, 1, 1.0)])];
        let said = Summary(&all).to_string();
        assert!(said.starts_with("1 of 2 were found with every seed, 2 with at least one; "), "{said}");
        assert!(said.ends_with("is 8 (8 to 8) plans and 2 (2 to 2) seconds"), "{said}");
        let interrupted = [figures(vec![found()]), figures(Vec::new())];
        assert!(Summary(&interrupted).to_string().starts_with("1 of 2 were found with every seed, 1 with"), "{said}");
    }
}
