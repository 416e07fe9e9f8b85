//! The threads of a plan's database driver: whether each has had its turn.
//!
//! An embedded database is worked by threads of this process, and a machine that is busy may let them wait for tens of milliseconds
//! while the thread that looks for movement runs. What the operating system says of a thread tells the two apart: one that has
//! work, whether or not it was let run, is *running*; one that waits for work *sleeps*. Linux says it; elsewhere, and
//! wherever it cannot be read, every thread counts as asleep, and time has to tell.
//!
//! Owns nothing but names: the threads of one plan's connections are named alike. One that has just been started still has the
//! name of the thread that started it. The database gives the names; [`crate::heartbeat`] keeps this, and
//! [`crate::stillness`] asks.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Where the threads of this process are listed.
const THREADS: &str = "/proc/self/task";

/// The longest name of a thread that Linux keeps.
const NAME_MAX: usize = 15;

/// The threads of one plan's connections.
pub(crate) struct DriverThreads {
    /// With what their names begin.
    prefix: String,
    /// The plan's own thread: its number and its name.
    own: Option<(String, String)>,
    /// Numbers of threads that were seen to be somebody else's. A plan ends before a number is given again.
    others: Mutex<Vec<String>>,
}

impl DriverThreads {
    /// Those whose names begin like this. Called on the plan's own thread.
    pub(crate) fn named(prefix: &str) -> Self {
        let own = fs::read_link("/proc/thread-self").ok().and_then(|link| {
            let number = link.file_name()?.to_str()?.to_owned();
            let state = ThreadState::read(&number)?;
            Some((number, state.name))
        });
        let prefix = prefix.chars().take(NAME_MAX).collect();
        Self { prefix, own, others: Mutex::default() }
    }

    /// Whether all of them wait for work.
    pub(crate) fn are_asleep(&self) -> bool {
        let Some((own, own_name)) = &self.own else { return true };
        let Ok(threads) = fs::read_dir(Path::new(THREADS)) else { return true };
        // A panic leaves a list that is merely shorter.
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.flatten() {
            let Ok(number) = thread.file_name().into_string() else { continue };
            if number == *own || others.contains(&number) {
                continue;
            }
            // One that cannot be read has ended.
            let Some(state) = ThreadState::read(&number) else { continue };
            if !state.name.starts_with(&self.prefix) && state.name != *own_name {
                others.push(number);
            } else if !state.sleeps {
                return false;
            }
        }
        true
    }
}

/// What is known of one thread.
struct ThreadState {
    name: String,
    sleeps: bool,
}

impl ThreadState {
    fn read(number: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("{THREADS}/{number}/stat")).ok()?)
    }

    /// `NUMBER (NAME) STATE …`, where the name may have brackets and spaces in it (proc_pid_stat(5)).
    fn parse(stat: &str) -> Option<Self> {
        let (before, after) = stat.rsplit_once(") ")?;
        let (_, name) = before.split_once(" (")?;
        // Whoever waits for a disk will go on by itself.
        Some(Self { name: name.to_owned(), sleeps: !matches!(after.chars().next()?, 'R' | 'D') })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    #[test]
    fn state_is_read_behind_the_name() {
        let state = ThreadState::parse("12 (a) b (c) S 1 2 3").expect("it is well formed");
        assert_eq!((&*state.name, state.sleeps), ("a) b (c", true));
        assert!(!ThreadState::parse("12 (db1.7) R 1 2 3").expect("it is well formed").sleeps);
        assert!(ThreadState::parse("12").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn thread_with_work_is_awake_and_one_without_is_asleep() {
        let of_plan = thread::Builder::new().name("plan-of-test".into()).spawn(|| {
            let threads = DriverThreads::named("dbtest.");
            assert!(threads.are_asleep(), "there are none");
            let (work, works) = channel::<u8>();
            let (begun, begins) = channel();
            let driver = thread::Builder::new().name("dbtest.1".into()).spawn(move || {
                for number in works {
                    begun.send(()).expect("the test goes on");
                    let until = std::time::Instant::now() + std::time::Duration::from_millis(200);
                    while number == 1 && std::time::Instant::now() < until {
                        std::hint::spin_loop();
                    }
                }
            });
            let driver = driver.expect("there is room for a thread");
            work.send(1).expect("it listens");
            begins.recv().expect("it works");
            assert!(!threads.are_asleep(), "it works");
            work.send(0).expect("it listens");
            begins.recv().expect("it has done the other");
            while !threads.are_asleep() {
                thread::yield_now();
            }
            drop(work);
            driver.join().expect("it ends");
            assert!(threads.are_asleep(), "it has ended");
        });
        of_plan.expect("there is room for a thread").join().expect("nothing failed in it");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn thread_that_has_not_taken_its_name_yet_is_seen() {
        let of_plan = thread::Builder::new().name("plan-of-other".into()).spawn(|| {
            let threads = DriverThreads::named("dbother.");
            let (begun, begins) = channel();
            let (end, ends) = channel::<()>();
            // Without a name of its own it keeps that of the thread that started it.
            let newborn = thread::spawn(move || {
                begun.send(()).expect("the test goes on");
                while ends.try_recv().is_err() {
                    std::hint::spin_loop();
                }
            });
            begins.recv().expect("it works");
            assert!(!threads.are_asleep());
            end.send(()).expect("it looks");
            newborn.join().expect("it ends");
        });
        of_plan.expect("there is room for a thread").join().expect("nothing failed in it");
    }
}
