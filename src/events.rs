//! Events of sessions, and the listeners that are called for them.
//!
//! Owns the listeners. Each is called exactly once for an event, after the fact and without a connection in reach; one that
//! panics, or blocks time and again, is removed and does no harm to the others. `lender` calls them; nothing in the library depends on one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sync::Shared;

/// So often in a row a listener takes too long before it is removed.
const BLOCKED_MAX: u32 = 3;

/// Something that happened to a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A scope got its first connection.
    Opened {
        /// The scope.
        scope: &'a str,
    },
    /// A scope whose session was lost got a fresh one.
    Recovered {
        /// The scope.
        scope: &'a str,
        /// The generation that begins.
        generation: u64,
        /// How long getting it took.
        took: Duration,
    },
    /// A connection was given up.
    Discarded {
        /// Why.
        why: &'a str,
    },
    /// A scope ended.
    Closed {
        /// The scope.
        scope: &'a str,
    },
}

/// Why a listener was removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenerError {
    /// It panicked.
    #[error("the listener panicked ({0}) and was removed; a listener must not panic")]
    Panicked(String),
    /// It took too long several times in a row, while every session waited for it.
    #[error(
        "the listener took {took:?}, more than the {limit:?} of `listener_limit`, {BLOCKED_MAX} times in a row, and was removed; hand the event to a channel instead"
    )]
    Blocked {
        /// How long it took the last time.
        took: Duration,
        /// The limit.
        limit: Duration,
    },
}

/// Keeps a listener listening; dropping it removes the listener.
#[derive(Debug)]
pub struct ListenerGuard {
    id: u64,
    listeners: Weak<Listeners>,
    listener: Arc<Listener>,
}

#[derive(Default, Debug)]
pub(crate) struct Listeners {
    list: Shared<List>,
}

#[derive(Default)]
struct List {
    next: u64,
    entries: Vec<(u64, Arc<Listener>)>,
}

struct Listener {
    call: Callback,
    /// How often in a row it has taken too long.
    blocked: AtomicU32,
    removed: Shared<Option<ListenerError>>,
    /// Its guard is.
    is_dropped: AtomicBool,
}

type Callback = Box<dyn Fn(&Event<'_>) + Send + Sync>;

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

impl ListenerGuard {
    /// Whether the listener is still called.
    ///
    /// # Errors
    /// Why it is not.
    pub fn status(&self) -> Result<(), ListenerError> {
        self.listener.removed.with(|error| error.clone().map_or(Ok(()), Err))
    }
}

impl Drop for ListenerGuard {
    fn drop(&mut self) {
        self.listener.is_dropped.store(true, Ordering::Release);
        if let Some(listeners) = self.listeners.upgrade() {
            listeners.remove(self.id);
        }
    }
}

impl Listeners {
    pub(crate) fn add(listeners: &Arc<Self>, call: Callback) -> ListenerGuard {
        let listener = Arc::new(Listener {
            call,
            blocked: AtomicU32::new(0),
            removed: Shared::default(),
            is_dropped: AtomicBool::new(false),
        });
        let id = listeners.list.with(|list| {
            list.next += 1;
            list.entries.push((list.next, Arc::clone(&listener)));
            list.next
        });
        ListenerGuard { id, listeners: Arc::downgrade(listeners), listener }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.list.with(|list| list.entries.len())
    }

    /// Calls every listener; returns how many had to be removed.
    pub(crate) fn call(&self, event: &Event<'_>, now: &dyn Fn() -> Duration, limit: Duration) -> usize {
        // Called outside of the lock, so that a listener may add and remove listeners.
        let entries = self.list.with(|list| list.entries.clone());
        let wrong = entries.iter().filter_map(|(id, listener)| {
            // An earlier one may have dropped its guard.
            if listener.is_dropped.load(Ordering::Acquire) {
                return None;
            }
            let began = now();
            let result = catch_unwind(AssertUnwindSafe(|| (listener.call)(event)));
            let took = now().saturating_sub(began);
            let error = match result {
                Err(panic) => ListenerError::Panicked(panic_text(&*panic)),
                // A busy machine is late once.
                Ok(()) if took > limit => match listener.blocked.fetch_add(1, Ordering::Relaxed) + 1 {
                    BLOCKED_MAX.. => ListenerError::Blocked { took, limit },
                    _ => {
                        tracing::warn!(?took, ?limit, "a listener keeps every session waiting");
                        return None;
                    }
                },
                Ok(()) => {
                    listener.blocked.store(0, Ordering::Relaxed);
                    return None;
                }
            };
            tracing::warn!(%error, "a listener was removed");
            listener.removed.with(|removed| *removed = Some(error));
            self.remove(*id);
            Some(())
        });
        wrong.count()
    }

    fn remove(&self, id: u64) {
        self.list.with(|list| list.entries.retain(|(entry, _)| *entry != id));
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a text".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    /// One that counts how often it is called.
    fn counting(listeners: &Arc<Listeners>) -> (ListenerGuard, Arc<AtomicU32>) {
        let count = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&count);
        let call = move |_: &Event<'_>| {
            seen.fetch_add(1, Ordering::Relaxed);
        };
        (Listeners::add(listeners, Box::new(call)), count)
    }

    fn call(listeners: &Listeners) -> usize {
        listeners.call(&Event::Opened { scope: "a" }, &|| Duration::ZERO, LIMIT)
    }

    #[test]
    fn a_listener_is_called_once_for_each_event_until_its_guard_is_dropped() {
        let listeners = Arc::default();
        let (guard, count) = counting(&listeners);
        call(&listeners);
        call(&listeners);
        assert_eq!(count.load(Ordering::Relaxed), 2);
        drop(guard);
        call(&listeners);
        assert_eq!(count.load(Ordering::Relaxed), 2);
        assert_eq!(listeners.count(), 0);
    }

    #[test]
    fn a_listener_that_panics_is_removed_and_the_others_are_called() {
        let listeners = Arc::default();
        let bad = Listeners::add(&listeners, Box::new(|_| panic!("no")));
        let (_good, count) = counting(&listeners);
        assert_eq!(call(&listeners), 1);
        assert_eq!(call(&listeners), 0);
        assert_eq!(count.load(Ordering::Relaxed), 2);
        assert_eq!(bad.status(), Err(ListenerError::Panicked("no".into())));
    }

    #[test]
    fn a_listener_that_blocks_time_and_again_is_removed() {
        let listeners = Arc::default();
        let guard = Listeners::add(&listeners, Box::new(|_| {}));
        let clock = Shared::<Duration>::default();
        let late = || clock.with(|now| std::mem::replace(now, *now + LIMIT * 2));
        let removed = |now: &dyn Fn() -> Duration| listeners.call(&Event::Closed { scope: "a" }, now, LIMIT);
        assert_eq!([removed(&late), removed(&late), removed(&|| Duration::ZERO)], [0, 0, 0]);
        assert_eq!(guard.status(), Ok(()));
        assert_eq!([removed(&late), removed(&late), removed(&late)], [0, 0, 1], "in time once, it is as good as new");
        assert_eq!(guard.status(), Err(ListenerError::Blocked { took: LIMIT * 2, limit: LIMIT }));
    }

    #[test]
    fn a_listener_whose_guard_is_dropped_while_others_are_called_is_not_called_any_more() {
        let listeners: Arc<Listeners> = Arc::default();
        let later: Arc<Shared<Option<ListenerGuard>>> = Arc::default();
        let drops = Arc::clone(&later);
        let _first = Listeners::add(&listeners, Box::new(move |_| drop(drops.with(Option::take))));
        let (second, count) = counting(&listeners);
        later.with(|it| *it = Some(second));
        call(&listeners);
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_listener_may_listen_and_stop_listening_while_it_is_called() {
        let listeners: Arc<Listeners> = Arc::default();
        let listeners_too = Arc::clone(&listeners);
        let _guard =
            Listeners::add(&listeners, Box::new(move |_| drop(Listeners::add(&listeners_too, Box::new(|_| {})))));
        call(&listeners);
        assert_eq!(listeners.count(), 1);
    }
}
