//! The threads that a plan needs, its own and those of its database's driver: whether each has had its turn.
//!
//! An embedded database is worked by threads of this process, and a machine that is busy may let one thread wait for a second while
//! the thread that looks for movement runs. What the operating system says of a thread tells a wait from a late turn: one that
//! has work, whether or not it was let run, is *running*; one that waits for work *sleeps*. Linux says it, and how long each has
//! run; elsewhere, and wherever it cannot be read, every thread counts as asleep, and time has to tell.
//!
//! A thread sleeps too while it waits for a lock that another thread of the process holds, the driver's or the allocator's,
//! and the holder may not have been let run since. So a conclusion also waits until each thread that had work has had a turn;
//! a holder that has had one has let go, and whoever waited has work again.
//!
//! Owns names and numbers. A thread of the driver is known by its name, which the database announces before it starts; one that
//! has just been started still has the name of the thread that started it. Once found it is known by its number, since to
//! list all threads takes longer than to look at a few. The worker says which thread is the plan's;
//! [`crate::heartbeat`] keeps this, and [`crate::stillness`] and the watch over a plan ask.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where the threads of this process are listed.
const THREADS: &str = "/proc/self/task";

/// The longest name of a thread that Linux keeps.
#[cfg(feature = "sqlite")]
const NAME_MAX: usize = 15;

/// The threads of one plan.
pub(crate) struct PlanThreads {
    /// The plan's own thread: its number and its name.
    own: Option<(String, String)>,
    drivers: Mutex<Drivers>,
}

/// The threads of a plan's connections.
#[derive(Default)]
struct Drivers {
    /// The names of those that have been announced and not found.
    announced: Vec<String>,
    /// The numbers of those that were found.
    found: Vec<String>,
    /// The numbers of threads that were seen to be somebody else's. A plan ends before a number is given again.
    others: Vec<String>,
}

impl PlanThreads {
    /// Those of the plan that runs on this thread.
    pub(crate) fn here() -> Self {
        let own = fs::read_link("/proc/thread-self").ok().and_then(|link| {
            let number = link.file_name()?.to_str()?.to_owned();
            let state = ThreadState::read(&number)?;
            Some((number, state.name))
        });
        // Whoever is there already is nobody that this plan will start.
        let drivers = Drivers { others: numbers().collect(), ..Drivers::default() };
        Self { own, drivers: Mutex::new(drivers) }
    }

    /// A thread of this name is started now, before anybody looks.
    #[cfg(feature = "sqlite")]
    pub(crate) fn announce_driver(&self, name: &str) {
        self.drivers().announced.push(name.chars().take(NAME_MAX).collect());
    }

    fn drivers(&self) -> MutexGuard<'_, Drivers> {
        // A panic leaves lists that are merely shorter.
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the plan's own thread has been let run since, if it has work; `before` is what it had run by then.
    pub(crate) fn has_own_had_a_turn(&self, before: &mut Option<String>) -> bool {
        let Some((own, _)) = &self.own else { return true };
        let now = run_time(own);
        std::mem::replace(before, now.clone()) != now || ThreadState::read(own).is_none_or(|state| state.sleeps)
    }

    /// Whether all threads of the driver wait for work.
    pub(crate) fn are_drivers_asleep(&self) -> bool {
        let Some((own, own_name)) = &self.own else { return true };
        let mut drivers = self.drivers();
        if !drivers.announced.is_empty() && drivers.find(own, own_name) == Found::Newborn {
            return false;
        }
        // One that cannot be read has ended.
        let mut are_asleep = true;
        drivers.found.retain(|number| {
            let state = ThreadState::read(number);
            are_asleep &= state.as_ref().is_none_or(|state| state.sleeps);
            state.is_some()
        });
        are_asleep
    }

    /// The threads of this process that have work, whosoever they are.
    pub(crate) fn at_work(&self) -> AtWork {
        let Some((own, _)) = &self.own else { return AtWork::default() };
        let awake = |number: &String| ThreadState::read(number).is_some_and(|state| !state.sleeps);
        let with_time = |number: String| Some((run_time(&number)?, number));
        AtWork(numbers().filter(|number| number != own).filter(awake).filter_map(with_time).collect())
    }
}

/// What a search among all threads has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Whoever was announced is known, or has ended.
    Everybody,
    /// There is one with work that has not taken its name yet.
    Newborn,
}

impl Drivers {
    /// Looks for those that were announced.
    fn find(&mut self, own: &str, own_name: &str) -> Found {
        let mut has_newborn = false;
        for number in numbers() {
            if number == own || self.found.contains(&number) || self.others.contains(&number) {
                continue;
            }
            let Some(state) = ThreadState::read(&number) else { continue };
            if let Some(at) = self.announced.iter().position(|name| *name == state.name) {
                self.announced.swap_remove(at);
                self.found.push(number);
            } else if state.name == own_name {
                has_newborn |= !state.sleeps;
            } else {
                self.others.push(number);
            }
        }
        if has_newborn {
            return Found::Newborn;
        }
        // Nobody is on the way to a name: who was not found has ended.
        self.announced.clear();
        Found::Everybody
    }
}

/// Threads that had work when they were looked at, each with how long it had run by then.
#[derive(Debug, Default)]
pub(crate) struct AtWork(Vec<(String, String)>);

impl AtWork {
    /// Whether each of them has been let run since, or has nothing to do any more.
    pub(crate) fn have_had_a_turn(&mut self) -> bool {
        self.0.retain(|(before, number)| {
            ThreadState::read(number).is_some_and(|state| !state.sleeps) && run_time(number).as_ref() == Some(before)
        });
        self.0.is_empty()
    }
}

/// The numbers of this process's threads.
fn numbers() -> impl Iterator<Item = String> {
    let threads = fs::read_dir(Path::new(THREADS)).into_iter().flatten().flatten();
    threads.filter_map(|thread| thread.file_name().into_string().ok())
}

/// How long a thread has run, in nanoseconds; none if it has ended, or nobody counts.
fn run_time(number: &str) -> Option<String> {
    let counts = fs::read_to_string(format!("{THREADS}/{number}/schedstat")).ok()?;
    counts.split_whitespace().next().map(str::to_owned)
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
#[cfg(feature = "sqlite")]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
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
            let threads = PlanThreads::here();
            assert!(threads.are_drivers_asleep(), "there are none");
            threads.announce_driver("dbtest.1");
            let (work, works) = channel::<Arc<AtomicBool>>();
            let (begun, begins) = channel();
            let driver = thread::Builder::new().name("dbtest.1".into()).spawn(move || {
                for is_done in works {
                    begun.send(()).expect("the test goes on");
                    while !is_done.load(Ordering::Acquire) {
                        std::hint::spin_loop();
                    }
                }
            });
            let driver = driver.expect("there is room for a thread");
            let is_done = Arc::new(AtomicBool::new(false));
            work.send(Arc::clone(&is_done)).expect("it listens");
            begins.recv().expect("it works");
            assert!(!threads.are_drivers_asleep(), "it works");
            is_done.store(true, Ordering::Release);
            while !threads.are_drivers_asleep() {
                thread::yield_now();
            }
            drop(work);
            driver.join().expect("it ends");
            assert!(threads.are_drivers_asleep(), "it has ended");
        });
        of_plan.expect("there is room for a thread").join().expect("nothing failed in it");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn thread_that_works_has_its_turns_and_one_that_sleeps_is_not_waited_for() {
        let of_plan = thread::Builder::new().name("plan-of-turns".into()).spawn(|| {
            let threads = PlanThreads::here();
            threads.announce_driver("dbturns.1");
            let (end, ends) = channel::<()>();
            let (begun, begins) = channel();
            let worker = thread::spawn(move || {
                begun.send(()).expect("the test goes on");
                while ends.try_recv().is_err() {
                    std::hint::spin_loop();
                }
            });
            begins.recv().expect("it works");
            let mut at_work = threads.at_work();
            assert!(!at_work.0.is_empty(), "it works");
            while !at_work.have_had_a_turn() {
                thread::yield_now();
            }
            end.send(()).expect("it looks");
            worker.join().expect("it ends");
            let never = (String::from("no such time"), String::from("0"));
            assert!(AtWork(vec![never]).have_had_a_turn(), "it has ended");
            let mut before = None;
            assert!(threads.has_own_had_a_turn(&mut before), "it runs");
        });
        of_plan.expect("there is room for a thread").join().expect("nothing failed in it");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn thread_that_has_not_taken_its_name_yet_is_seen() {
        let of_plan = thread::Builder::new().name("plan-of-other".into()).spawn(|| {
            let threads = PlanThreads::here();
            threads.announce_driver("dbother.1");
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
            assert!(!threads.are_drivers_asleep());
            end.send(()).expect("it looks");
            newborn.join().expect("it ends");
        });
        of_plan.expect("there is room for a thread").join().expect("nothing failed in it");
    }
}
