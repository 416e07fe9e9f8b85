//! Replies that are told apart by their order alone, for [`Flaw::ShiftsReplies`](super::Flaw::ShiftsReplies).
//!
//! Owns a queue of replies for each connection. A statement is done by a task, which puts its reply at the end of the
//! queue; whoever asked takes what stands at the front. When a caller is cancelled its reply stays there, and the next caller
//! takes it for its own. The pool calls it, for one flaw; it knows nothing of sessions.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::connection::Connection;
use unstale_harness::history::{Failure, FailureClass, Reply};
use unstale_harness::plan::Command;

/// The queue of each connection that was ever asked.
pub(super) struct Replies<C> {
    queues: RefCell<Vec<(Weak<Mutex<C>>, Queue)>>,
}

type Answer = Result<Reply, Failure>;

/// The replies of one connection, in their order.
#[derive(Clone)]
struct Queue {
    sender: UnboundedSender<Answer>,
    receiver: Rc<Mutex<UnboundedReceiver<Answer>>>,
}

impl<C: Connection> Replies<C> {
    pub(super) fn new() -> Self {
        Self { queues: RefCell::default() }
    }

    /// Returns the work, for a task, and the reply that stands first in the queue.
    ///
    /// A reply of another kind than the command's is an error of the protocol: the connection is dead.
    pub(super) fn ask(
        &self,
        kept: &Arc<Mutex<C>>,
        command: &Command,
    ) -> (impl Future<Output = ()> + Send + use<C>, impl Future<Output = Answer> + use<C>) {
        let Queue { sender, receiver } = self.queue(kept);
        let (kept, asked, command) = (Arc::clone(kept), command.clone(), command.clone());
        let work = async move {
            let answer = kept.lock().await.answer(&asked).await;
            // A connection that was given up has no reader any more.
            let _ = sender.send(answer);
        };
        let first = async move {
            match receiver.lock().await.recv().await {
                Some(Ok(reply)) if !is_of(&reply, &command) => {
                    Err(Failure::new(FailureClass::Dead, format!("`{reply}` is no answer to `{command}`")))
                }
                Some(answer) => answer,
                None => Err(Failure::new(FailureClass::Dead, "the connection's queue has ended")),
            }
        };
        (work, first)
    }

    fn queue(&self, kept: &Arc<Mutex<C>>) -> Queue {
        let mut queues = self.queues.borrow_mut();
        let known = queues.iter().find(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(kept)));
        if let Some((_, queue)) = known {
            return queue.clone();
        }
        let (sender, receiver) = unbounded_channel();
        let queue = Queue { sender, receiver: Rc::new(Mutex::new(receiver)) };
        queues.push((Arc::downgrade(kept), queue.clone()));
        queue
    }
}

/// Whether the reply could be this command's.
fn is_of(reply: &Reply, command: &Command) -> bool {
    match command {
        Command::Put(..) | Command::Insert(..) | Command::Delete(_) => matches!(reply, Reply::Changed(_)),
        Command::Get(_) => matches!(reply, Reply::Value(_)),
        Command::Scan => matches!(reply, Reply::Rows(_)),
        Command::Stream(_) => matches!(reply, Reply::FirstRows(_)),
        Command::Inspect => matches!(reply, Reply::Residue(_)),
        _ => *reply == Reply::Done,
    }
}
