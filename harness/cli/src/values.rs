//! How values on the command line are read: times, jobs and shards, each within its bounds.
//!
//! Owns the bounds and what is said of a value beyond them. The command line ([`crate::args`]) names these functions; which
//! flags there are is its business.

use std::time::Duration;

/// A year: an instant so far away can still be computed.
const HOURS_MAX: u64 = 8760;

/// A time such as `30s`, `5m` or `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |bound: &str| format!("expected a time such as 30s, 5m or 1h{bound}, found `{text}`");
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[split..] {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong("")),
    };
    let number = &text[..split];
    if number.chars().all(|digit| digit == '0') {
        return Err(wrong(""));
    }
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    let seconds = seconds.filter(|seconds| *seconds <= HOURS_MAX * 3600);
    seconds.map(Duration::from_secs).ok_or_else(|| wrong(&format!(", at most {HOURS_MAX}h")))
}

/// Each job keeps two threads and a few files open.
const JOBS_MAX: usize = 64;

/// A number of jobs.
pub(crate) fn jobs(text: &str) -> Result<usize, String> {
    let wrong = || format!("expected 1 to {JOBS_MAX} jobs, found `{text}`");
    text.parse().ok().filter(|jobs| (1..=JOBS_MAX).contains(jobs)).ok_or_else(wrong)
}

/// So that the number of a plan never overflows.
const SHARDS_MAX: u64 = 10_000;

/// `1/4` is the first of four; it is numbered from 0.
pub(crate) fn shard(text: &str) -> Result<(u64, u64), String> {
    let parts = text.split_once('/').and_then(|(one, all)| Some((one.parse::<u64>().ok()?, all.parse::<u64>().ok()?)));
    match parts {
        Some((one, all)) if (1..=all).contains(&one) && all <= SHARDS_MAX => Ok((one - 1, all)),
        _ => Err(format!("expected I/N with 1 ≤ I ≤ N ≤ {SHARDS_MAX}, found `{text}`")),
    }
}
