//! The cell: what a scope and its handles share.
//!
//! Owns the session and what can be read without it: its generation, how much was done on it, whether the scope has
//! ended. A session is released by the scope's end, or by the last call that has it or waits for it then.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Mutex, MutexGuard};

use super::level::Levels;
use super::queue::Queue;
use crate::commit::CommitResolver;
use crate::events::Event;
use crate::health::Holder;
use crate::lease::Lease;
use crate::lender::Lender;
use crate::session::{Happened, Session, State};
use crate::source::{Settings, Source};
use crate::sync::{Held, Lockable, Shared};

/// What a scope and its handles share.
pub(crate) struct Cell<S: Source> {
    lender: Arc<Lender<S>>,
    holder: Holder,
    session: Mutex<Session<Lease<S>>>,
    settings: Settings,
    /// Resolves commits whose answer is missing.
    resolver: Option<Arc<dyn CommitResolver<S>>>,
    queue: Queue,
    levels: Levels,
    /// The generation, readable without the session.
    generation: AtomicU64,
    ended: AtomicBool,
    /// How many statements of the scope's were done, or have aborted their transaction.
    statements_done: AtomicU64,
    /// Values that others keep with the scope, each under a number of its own; they end with it.
    attached: Shared<BTreeMap<u64, Arc<dyn Any + Send + Sync>>>,
}

/// The session, while one call has it.
pub(crate) type SessionGuard<'a, S> = Held<MutexGuard<'a, Session<Lease<S>>>, &'a Cell<S>>;

impl<S: Source> Lockable for &Cell<S> {
    fn left(&self) {
        self.release_if_ended();
    }
}

impl<S: Source> Cell<S> {
    pub(crate) fn new(
        lender: Arc<Lender<S>>,
        holder: Holder,
        settings: Settings,
        resolver: Option<Arc<dyn CommitResolver<S>>>,
    ) -> Self {
        Self {
            lender,
            holder,
            settings,
            session: Mutex::new(Session::new()),
            resolver,
            queue: Queue::default(),
            levels: Levels::default(),
            generation: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            statements_done: AtomicU64::new(0),
            attached: Shared::default(),
        }
    }

    pub(crate) fn lender(&self) -> &Lender<S> {
        &self.lender
    }

    pub(crate) fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The scope's name.
    pub(crate) fn name(&self) -> &Cow<'static, str> {
        &self.holder.name
    }

    /// What holds on whatever connection serves the scope.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn resolver(&self) -> Option<&dyn CommitResolver<S>> {
        self.resolver.as_deref()
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn levels(&self) -> &Levels {
        &self.levels
    }

    /// The session, if no call has it.
    pub(crate) fn try_session(&self) -> Option<SessionGuard<'_, S>> {
        Some(Held::new(self, self.session.try_lock().ok()?))
    }

    /// Waits for the session, in the order in which calls came.
    pub(crate) async fn session(&self) -> SessionGuard<'_, S> {
        Held::wait(self, self.session.lock()).await
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Sets the session's generation; returns the previous one.
    pub(crate) fn set_generation(&self, now: u64) -> u64 {
        self.generation.swap(now, Ordering::AcqRel)
    }

    /// How many statements of the scope's were done so far, may be in part, or have aborted their transaction.
    pub(crate) fn statements_done(&self) -> u64 {
        self.statements_done.load(Ordering::Acquire)
    }

    pub(crate) fn count_statement(&self) {
        self.statements_done.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns the value that the scope keeps under this number; makes it if there is none. A scope that has ended
    /// keeps nothing.
    pub(crate) fn attached<T: Any + Send + Sync>(&self, number: u64, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        self.attached.with(|all| {
            if let Some(kept) = all.get(&number).and_then(|kept| Arc::clone(kept).downcast().ok()) {
                return kept;
            }
            let made = make();
            if !self.has_ended() {
                all.insert(number, Arc::clone(&made) as _);
            }
            made
        })
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Ends the scope.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        // The scope's services hold handles, and handles hold the cell: dropping the services breaks this cycle. What is the
        // library's to do comes before, since a service's drop may panic.
        let attached = self.attached.with(std::mem::take);
        // If calls have the session, or wait for it, the last of them to leave releases it.
        self.release_if_ended();
        self.lender.leave(&self.holder);
        if self.generation() > 0 {
            self.lender.emit(&Event::Closed { scope: self.name() });
        }
        drop(attached);
    }

    /// Releases the session of a scope that has ended, unless a call still has it.
    fn release_if_ended(&self) {
        if !self.has_ended() {
            return;
        }
        if let Ok(mut session) = self.session.try_lock()
            && *session.state() != State::Ended
        {
            self.lender.release(&mut session);
            session.transition(Happened::Ended);
        }
    }
}
