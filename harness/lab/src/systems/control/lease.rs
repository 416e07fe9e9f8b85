//! A session of the control: a connection lent to one actor, its statements, and the release gate.
//!
//! How it begins and ends transactions is in [`transaction`](super::transaction).

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Flaw;
use super::connection::{Boundary, Connection, Source, is_refusal, within};
use super::for_flaws::ForFlaws;
use super::pool::{Kept, Permit, Pool, discard};
use unstale_harness::history::{Failure, FailureClass, Reply};
use unstale_harness::plan::{BeginMode, Command, Conflict};
use unstale_harness::port::Ended;
use unstale_harness::system::Port;
use unstale_harness::workload::is_statement;

/// For [`Flaw::ExpiresTransactions`]: how long a transaction may idle.
const EXPIRY: Duration = Duration::from_secs(30);

/// A connection lent to one session.
pub(super) struct Lease<S: Source> {
    /// None once it was given up: then everything but the end of the session is refused.
    connection: Option<Kept<S>>,
    pub(super) pool: Rc<Pool<S>>,
    /// 0 outside a transaction, 1 in one, more in savepoints.
    pub(super) depth: u32,
    /// A statement failed in the transaction: only its end is accepted.
    pub(super) aborted: bool,
    /// A call was cancelled, or not answered as it should be: nothing is known of the connection any more.
    pub(super) in_doubt: bool,
    /// Something may be left on the connection: raw SQL ran here, or a stream was dropped.
    touched: bool,
    pub(super) for_flaws: ForFlaws,
    /// Shared with the task that closes the connection.
    permit: Option<Permit>,
}

/// The release gate: a connection goes back only if nothing can be left on it.
impl<S: Source> Drop for Lease<S> {
    fn drop(&mut self) {
        if !(std::thread::panicking() && self.has(Flaw::CountsOn)) {
            self.pool.session_ended();
        }
        if self.in_doubt && !self.in_test() && !self.has(Flaw::AlwaysHealthy) {
            return self.give_up();
        }
        let Some(connection) = self.connection.take() else { return };
        let permit = self.permit.take();
        if self.in_test() {
            if self.depth > 0 || self.in_doubt {
                self.pool.undo_later(connection, self.undo_of_test(), permit);
            }
            return;
        }
        if self.depth > 0 && self.has(Flaw::RollsBackByTask) {
            self.pool.undo_later(Arc::clone(&connection), &[Boundary::Rollback], None);
            self.depth = 0;
        }
        if let Some(write) = self.for_flaws.due_write.take() {
            self.pool.write_later(Arc::clone(&connection), write);
        }
        let is_overlooked = match self.depth {
            0 => true,
            depth => {
                self.has(Flaw::KeepsTransaction)
                    || self.has(Flaw::KeepsNested) && depth > 1
                    || self.has(Flaw::ForgetsFailed) && self.aborted
            }
        };
        let unfinished = !is_overlooked || self.for_flaws.commit_is_due;
        let keeps = self.has(Flaw::KeepsResidue) || self.has(Flaw::ResetsSettingsAlone);
        let unclean = unfinished || self.touched && !keeps;
        let is_used_up =
            self.has(Flaw::AlwaysSick) || self.has(Flaw::ClosesAfterTransaction) && self.for_flaws.has_begun;
        let doubtful = unclean && !self.has(Flaw::AlwaysHealthy) || is_used_up;
        if doubtful || self.pool.is_closed() && !self.has(Flaw::KeepsAfterClose) {
            return self.pool.close_later(connection, permit);
        }
        self.pool.put_back(Arc::clone(&connection));
        if self.has(Flaw::ReturnsTwice) && self.for_flaws.has_failed {
            self.pool.put_again(connection);
        }
    }
}

impl<S: Source> Lease<S> {
    /// Opens a session.
    pub(super) async fn open(pool: Rc<Pool<S>>) -> Result<Self, Failure> {
        let (connection, permit) = pool.lend().await?;
        pool.session_opened();
        if pool.has(Flaw::Shares) && !pool.in_test() {
            pool.put_back(Arc::clone(&connection));
        }
        let connection = Some(connection);
        let (depth, aborted, in_doubt, touched) = Default::default();
        let for_flaws = pool.for_flaws();
        Ok(Self { connection, pool, depth, aborted, in_doubt, touched, for_flaws, permit })
    }

    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.pool.has(flaw)
    }

    /// Whether it takes turns on a test's connection.
    pub(super) fn in_test(&self) -> bool {
        self.pool.in_test()
    }

    pub(super) fn connection(&self) -> Option<Kept<S>> {
        self.connection.clone()
    }

    /// Whether a transaction is open.
    pub(super) fn is_open(&self) -> bool {
        self.depth > 0
    }

    pub(super) async fn serve(&mut self, command: &Command, port: &mut Port) {
        if self.has(Flaw::ExpiresTransactions) && self.depth > 0 && self.for_flaws.used.elapsed() > EXPIRY {
            self.end_unnoticed().await;
            self.aborted = false;
        }
        match command {
            Command::Commit | Command::Rollback | Command::Drop if self.depth == 0 => {}
            Command::Commit => {
                port.run(self.commit()).await;
            }
            Command::Drop if self.has(Flaw::CommitsOnDrop) => {
                port.run(self.commit()).await;
            }
            Command::Rollback | Command::Drop => {
                port.run(self.rollback()).await;
            }
            Command::Begin(mode) => {
                port.run(self.begin(*mode)).await;
            }
            Command::Swap(key, value) => {
                port.ask(self.swap(*key, *value), Reply::clone).await;
            }
            Command::Extra(words) => {
                port.ask(self.tally(words), Reply::clone).await;
            }
            command if is_statement(command) => {
                port.ask(self.statement(command), Reply::clone).await;
            }
            _ => {}
        }
        let is_cancelled = port.last() == Ended::Cancelled;
        let believes = is_cancelled && self.has(Flaw::ShiftsReplies) && is_statement(command);
        self.in_doubt = (self.in_doubt || is_cancelled) && !believes;
        if self.depth == 0 {
            self.for_flaws.held.clear();
            self.for_flaws.is_ended = false;
            self.for_flaws.is_doomed = false;
        }
        self.for_flaws.used = Instant::now();
        self.settle();
    }

    /// Serves a command that came through a retained handle.
    pub(super) async fn serve_retained(&mut self, command: &Command) -> Result<Reply, Failure> {
        let result = self.statement(command).await;
        self.settle();
        result
    }

    pub(super) async fn statement(&mut self, command: &Command) -> Result<Reply, Failure> {
        if self.in_test() && matches!(command, Command::Raw(..)) {
            return Err(Failure::new(FailureClass::Mistake, "it would stay on the test's connection"));
        }
        self.refuse().await?;
        self.wait_for_key(command).await;
        self.touched |= matches!(command, Command::Raw(..) | Command::Stream(_));
        self.send_what_is_due().await;
        if matches!(command, Command::Put(..)) && self.depth == 0 && self.has(Flaw::BuffersWrites) {
            self.for_flaws.due_write = Some(command.clone());
            return Ok(Reply::Changed(true));
        }
        let mut result = self.answer(command).await;
        if result.as_ref().is_err_and(|failure| self.is_rerun_after(failure)) {
            result = match self.replace_connection().await {
                Ok(()) => self.answer(command).await,
                Err(failure) => Err(failure),
            };
        }
        let result = self.retold(command, result);
        self.for_flaws.has_failed |= result.is_err();
        match &result {
            Err(_) if self.depth == 0 || self.for_flaws.is_ended || self.has(Flaw::BelievesCommits) => {}
            Err(failure) if is_refusal(failure) && self.ends_unnoticed() => self.end_unnoticed().await,
            Err(_) => self.aborted = true,
            Ok(_) => {}
        }
        result
    }

    /// What flaws make of an answer.
    fn retold(&self, command: &Command, answer: Result<Reply, Failure>) -> Result<Reply, Failure> {
        match (command, answer) {
            (Command::Scan, Ok(Reply::Rows(mut rows))) if self.has(Flaw::EndsEarly) => {
                rows.truncate(2);
                Ok(Reply::Rows(rows))
            }
            (Command::Delete(_), Ok(_)) if self.has(Flaw::SaysDeleted) => Ok(Reply::Changed(true)),
            (Command::Insert(_, _, Conflict::Abort), Err(failure))
                if failure.class == FailureClass::Mistake && self.has(Flaw::SwallowsConflicts) =>
            {
                Ok(Reply::Changed(true))
            }
            (_, answer) => answer,
        }
    }

    fn ends_unnoticed(&self) -> bool {
        self.has(Flaw::AutocommitsAfterFailure) && !self.in_test()
    }

    /// For [`Flaw::WaitsCrosswise`]: a transaction holds what it writes, from the first write to its end.
    async fn wait_for_key(&mut self, command: &Command) {
        let (Command::Put(key, _) | Command::Insert(key, ..) | Command::Delete(key)) = command else { return };
        let holds = self.depth == 0 || self.for_flaws.held.iter().any(|(held, _)| held == key);
        if self.has(Flaw::WaitsCrosswise) && !holds {
            let guard = self.pool.hold(*key).await;
            self.for_flaws.held.push((*key, guard));
        }
    }

    async fn answer(&mut self, command: &Command) -> Result<Reply, Failure> {
        if let Some(known) = self.for_flaws.remembered.as_ref().and_then(|it| it.borrow().reply(command)) {
            return Ok(known);
        }
        let answer = self.asked(command).await;
        if let (Some(remembered), Ok(reply)) = (&self.for_flaws.remembered, &answer) {
            remembered.borrow_mut().note(command, reply);
        }
        answer
    }

    async fn asked(&mut self, command: &Command) -> Result<Reply, Failure> {
        let own = self.kept();
        let is_read = matches!(command, Command::Get(_) | Command::Scan);
        let goes_elsewhere = is_read && self.depth > 0 && self.has(Flaw::ReadsElsewhere) && !self.in_test();
        if goes_elsewhere && let Some(answer) = self.pool.ask_another(command).await {
            return answer;
        }
        let connection = if self.has(Flaw::CaptiveSession) { self.pool.captive(own) } else { own };
        if self.has(Flaw::ShiftsReplies) {
            let pool = Rc::clone(&self.pool);
            return self.call(S::CALL_MAX, pool.oldest_reply(&connection, command)).await;
        }
        self.call(S::CALL_MAX, async { connection.lock().await.answer(command).await }).await
    }

    /// Whether a flaw retries what ended like this on another connection.
    fn is_rerun_after(&self, failure: &Failure) -> bool {
        match (is_refusal(failure), self.depth) {
            (true, depth) => depth == 0 && self.has(Flaw::MistakesAreLosses),
            (false, 0) => self.has(Flaw::RetriesBlindly),
            (false, _) => self.has(Flaw::RecoversInside),
        }
    }

    /// An error where nothing may run before the transaction, or the session, has ended.
    pub(super) async fn refuse(&mut self) -> Result<(), Failure> {
        if self.in_doubt && self.connection.is_some() && self.depth > 0 && self.has(Flaw::RecoversInside) {
            self.replace_connection().await?;
        }
        if self.in_doubt || self.connection.is_none() {
            return Err(Failure::new(FailureClass::Closed, "an earlier call was not answered: close the session"));
        }
        if self.aborted {
            return Err(Failure::new(FailureClass::NoTransaction, "an earlier statement failed: roll back"));
        }
        Ok(())
    }

    /// Begins or ends a transaction, within this limit.
    pub(super) async fn cross(&mut self, boundary: Boundary, max: Option<Duration>) -> Result<(), Failure> {
        let connection = self.kept();
        self.call(max, async { connection.lock().await.cross(boundary).await }).await
    }

    /// For [`Flaw::FakesCommit`]: something that does nothing.
    pub(super) async fn do_nothing(&mut self) -> Result<(), Failure> {
        let connection = self.kept();
        self.call(S::CALL_MAX, async { connection.lock().await.probe().await }).await
    }

    /// Runs a call on the connection, which is in doubt until it is answered, and stays so unless the answer is about the
    /// statement.
    pub(super) async fn call<T>(
        &mut self,
        max: Option<Duration>,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.in_doubt = true;
        let result = within(max, call).await;
        let is_lost = result.as_ref().is_err_and(|failure| !is_refusal(failure));
        self.in_doubt = is_lost && !self.has(Flaw::LossesAreMistakes);
        result
    }

    /// For flaws: goes on with another connection.
    async fn replace_connection(&mut self) -> Result<(), Failure> {
        if let Some(old) = self.connection.take() {
            discard::<S>(old).await;
        }
        self.connection = Some(self.pool.connect().await?);
        self.in_doubt = false;
        Ok(())
    }

    /// Gives a connection in doubt up at once, so that nobody waits for what was abandoned on it. A test has no other one.
    pub(super) fn settle(&mut self) {
        let keeps = self.has(Flaw::AlwaysHealthy) || self.has(Flaw::RecoversInside) && self.depth > 0;
        if self.in_doubt && !self.in_test() && !keeps {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        self.for_flaws.held.clear();
        if let Some(connection) = self.connection.take() {
            self.pool.abandon(connection, self.permit.clone());
        }
    }

    /// What undoes everything that this session has begun in a test.
    pub(super) fn undo_of_test(&self) -> &'static [Boundary] {
        // Without savepoints there is only the whole test to roll back.
        const FORGET_TEST: [Boundary; 2] = [Boundary::Rollback, Boundary::Begin(BeginMode::Immediate)];
        if self.has(Flaw::FakesCommit) { &FORGET_TEST } else { &[Boundary::RollbackTo(0)] }
    }

    pub(super) fn kept(&self) -> Kept<S> {
        self.connection.clone().expect("every caller has checked that it was not given up")
    }
}
