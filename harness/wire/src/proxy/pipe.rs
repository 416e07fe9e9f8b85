//! The pipe: one connection, both directions, byte for byte.
//!
//! Owns the two sockets of a connection from its startup message to its end, and the points in the stream at which something
//! may happen. What goes through is not changed; what the proxy asks itself, and its answer, goes past the client. There is
//! one buffer for each direction and no queue: what one side does not take, the other cannot send. What happens at a moment is
//! decided by [`super::line`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow::{self, Break, Continue};
use std::rc::Rc;

use tokio::net::TcpStream;

use super::arming::{Act, Claim};
use super::disturb::cuts_after;
use super::line::{End, Line, Lines};
use super::replies::{Replies, Said};
use super::requests::{Request, Requests};
use super::time_out::{TimeOut, message};
use super::watch::{Seen, Side};
use crate::fault::{Moment, NetworkFault};

/// What is read at once.
const BUFFER: usize = 16 << 10;

/// How much of a reply is kept back until its end is there; a longer one is passed on as it comes.
const KEPT_MAX: usize = 1 << 20;

/// One connection.
pub(super) struct Pipe<'a> {
    pub(super) lines: &'a Lines,
    pub(super) line: Rc<Line>,
    pub(super) client: &'a TcpStream,
    pub(super) server: &'a TcpStream,
    /// For each request that was passed on and not answered: whether it executes anything. The server does not read on for
    /// ever without answering, so what bounds the sockets bounds this.
    unanswered: RefCell<VecDeque<bool>>,
    /// Whether the next bytes for the client are late.
    late: Cell<bool>,
}

/// The reply that is being passed on.
#[derive(Default)]
struct Reply {
    /// Whether it answers a request that executes something; none between replies.
    executes: Option<bool>,
    /// Whether its first message has been seen.
    begun: bool,
    /// What is kept back until the end is there.
    kept: Option<Vec<u8>>,
    cut: Option<Cut>,
}

struct Cut {
    claim: Claim,
    left: usize,
}

impl<'a> Pipe<'a> {
    pub(super) fn new(lines: &'a Lines, line: Rc<Line>, client: &'a TcpStream, server: &'a TcpStream) -> Self {
        Self { lines, line, client, server, unanswered: RefCell::default(), late: Cell::new(false) }
    }

    /// Passes bytes on until the connection ends; `startup` is what the client has said already.
    ///
    /// Not cancel safe: what was read and not passed on is lost, and the connection with it.
    pub(super) async fn run(self, startup: &[u8], blind: bool) -> End {
        let (mut requests, mut replies) = (Requests::new(), Replies::new());
        if blind {
            requests.go_blind();
            replies.go_blind();
        }
        let up = async {
            match self.to_server(startup).await {
                Break(end) => end,
                Continue(()) => self.up(requests).await,
            }
        };
        tokio::select! {
            biased;
            end = self.lines.ordered(&self.line) => end,
            end = self.down(replies) => end,
            end = self.time_out() => end,
            end = up => end,
        }
    }

    async fn up(&self, mut requests: Requests) -> End {
        let mut buffer = vec![0; BUFFER];
        loop {
            let flow = match self.read(self.client, Side::Client, &mut buffer).await {
                Ok(length) => self.pass_up(&mut requests, &buffer[..length]).await,
                Err(end) => return end,
            };
            if let Break(end) = flow {
                return end;
            }
        }
    }

    async fn down(&self, mut replies: Replies) -> End {
        let mut buffer = vec![0; BUFFER];
        let mut reply = Reply::default();
        let mut begun = Vec::new();
        loop {
            let flow = match self.read(self.server, Side::Server, &mut buffer).await {
                Ok(length) => match self.take_answer(&mut replies, &mut begun, &buffer[..length]).await {
                    Continue(rest) => self.pass_down(&mut replies, &mut reply, rest).await,
                    Break(end) => Break(end),
                },
                Err(end) => {
                    // The server's last words are its client's to read.
                    let kept = reply.kept.take().unwrap_or_default();
                    return if let Break(end) = self.to_client(&mut reply, &kept, false).await { end } else { end };
                }
            };
            if let Break(end) = flow {
                return end;
            }
        }
    }

    /// Tells the server to end the session, whenever that is wanted. Nothing is under way then, and the client is not heard.
    async fn time_out(&self) -> End {
        loop {
            let in_transaction = self.lines.time_out_wanted(&self.line).await;
            let message = message(in_transaction);
            let mut left = &message[..];
            while !left.is_empty() {
                let written = match self.server.writable().await {
                    Ok(()) => self.server.try_write(left),
                    Err(error) => Err(error),
                };
                match done(written, Side::Server) {
                    Continue(written) => left = &left[written..],
                    Break(end) => return end,
                }
            }
            self.lines.set_time_out(&self.line, TimeOut::Asked { refused: false });
        }
    }

    /// Takes out of these bytes what answers the proxy itself: what follows it. `begun` has what is there of a message.
    async fn take_answer<'b>(
        &self,
        replies: &mut Replies,
        begun: &mut Vec<u8>,
        mut bytes: &'b [u8],
    ) -> ControlFlow<End, &'b [u8]> {
        while self.line.time_out.get().is_asking() && !bytes.is_empty() {
            let (taken, said) = replies.take(bytes);
            begun.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            let Some(said) = said else { continue };
            let message = std::mem::take(begun);
            match self.line.time_out.get().answered(&said) {
                Some(next) => self.lines.set_time_out(&self.line, next),
                None => {
                    self.heard(&said);
                    self.deliver(&message).await?;
                }
            }
        }
        Continue(bytes)
    }

    async fn pass_up(&self, requests: &mut Requests, bytes: &[u8]) -> ControlFlow<End> {
        if !self.line.greeted.get() {
            self.lines.seen(self.line.id, Seen::Responded);
        }
        let (mut passed, mut at) = (0, 0);
        while at < bytes.len() {
            if requests.begins(bytes[at]) {
                self.to_server(&bytes[passed..at]).await?;
                passed = at;
                self.line.begun.set(true);
                self.lines.seen(self.line.id, Seen::Begun);
                self.lines.meet(&self.line, Moment::BeforeSend).await?;
                self.lines.delay(&self.line).await;
            }
            if requests.is_farewell(bytes[at]) {
                self.line.farewell.set(true);
            }
            let (taken, request) = requests.take(&bytes[at..]);
            at += taken;
            if let Some(request) = request {
                self.to_server(&bytes[passed..at]).await?;
                passed = at;
                self.sent(&request);
                if request.executes {
                    self.lines.meet(&self.line, Moment::Sent).await?;
                }
            }
        }
        self.to_server(&bytes[passed..]).await
    }

    async fn pass_down(&self, replies: &mut Replies, reply: &mut Reply, bytes: &[u8]) -> ControlFlow<End> {
        let (mut passed, mut at) = (0, 0);
        while at < bytes.len() {
            if reply.executes.is_none() {
                *reply = self.next_reply();
            }
            let (taken, said) = replies.take(&bytes[at..]);
            at += taken;
            let Some(said) = said else { continue };
            self.heard(&said);
            if let Said::Ready { .. } = said {
                let answers = reply.executes;
                if answers == Some(true) {
                    self.lines.meet(&self.line, Moment::BeforeReply).await?;
                }
                let kept = reply.kept.take().unwrap_or_default();
                self.to_client(reply, &kept, false).await?;
                self.to_client(reply, &bytes[passed..at], true).await?;
                passed = at;
                self.delivered(answers.is_some());
                *reply = Reply::default();
            } else if reply.executes == Some(true) && !reply.begun && reply.kept.is_none() {
                reply.begun = true;
                if self.lines.shared.armings.awaits(self.line.id, Moment::MidReply) {
                    self.to_client(reply, &bytes[passed..at], false).await?;
                    passed = at;
                    self.lines.meet(&self.line, Moment::MidReply).await?;
                }
            }
        }
        let rest = &bytes[passed..];
        match &mut reply.kept {
            Some(kept) if kept.len() + rest.len() <= KEPT_MAX => {
                kept.extend_from_slice(rest);
                Continue(())
            }
            kept => {
                let kept = kept.take().unwrap_or_default();
                self.to_client(reply, &kept, false).await?;
                self.to_client(reply, rest, false).await
            }
        }
    }

    /// The server sends more: part of a reply, if a request is unanswered.
    fn next_reply(&self) -> Reply {
        let Some(executes) = self.unanswered.borrow().front().copied() else { return Reply::default() };
        self.late.set(true);
        let cut = executes.then(|| self.lines.shared.armings.claim_cut(self.line.id)).flatten();
        let kept = executes && cut.is_none() && self.lines.shared.armings.awaits(self.line.id, Moment::BeforeReply);
        Reply { executes: Some(executes), begun: false, kept: kept.then(Vec::new), cut: cut.map(Cut::new) }
    }

    fn sent(&self, request: &Request) {
        self.unanswered.borrow_mut().push_back(request.executes);
        self.line.begun.set(false);
        self.lines.shared.ledger.note(self.line.id, |it| it.requests += 1);
        self.lines.shared.ledger.count(|it| it.requests += 1);
        self.lines.seen(self.line.id, Seen::Request { sql: &request.sql, executes: request.executes });
    }

    fn heard(&self, said: &Said) {
        let Self { line, lines, .. } = self;
        match said {
            Said::Challenged => lines.seen(line.id, Seen::Challenged),
            Said::Backend { pid } => {
                lines.shared.ledger.note(line.id, |it| it.pid = Some(*pid));
                lines.seen(line.id, Seen::Backend { pid: *pid });
            }
            Said::Completed { tag } => lines.seen(line.id, Seen::Completed { tag }),
            Said::Refused { severity, code, message } => {
                lines.set_time_out(line, line.time_out.get().heard(said));
                lines.seen(line.id, Seen::Refused { severity, code, message });
            }
            Said::Ready { status } => {
                let answers = u64::from(self.unanswered.borrow_mut().pop_front().is_some());
                lines.shared.ledger.note(line.id, |it| {
                    it.status = Some(*status);
                    it.answered += answers;
                });
                lines.seen(line.id, Seen::Ready { status: *status });
            }
            Said::Other => {}
        }
    }

    fn delivered(&self, answers: bool) {
        self.line.greeted.set(true);
        self.lines.shared.ledger.note(self.line.id, |it| it.delivered += u64::from(answers));
        self.lines.seen(self.line.id, Seen::Delivered);
    }

    async fn to_server(&self, mut bytes: &[u8]) -> ControlFlow<End> {
        while !bytes.is_empty() {
            let written = match self.server.writable().await {
                Ok(()) => self.server.try_write(bytes),
                Err(error) => Err(error),
            };
            let written = done(written, Side::Server)?;
            self.lines.shared.ledger.count(|it| it.to_server += written as u64);
            bytes = &bytes[written..];
        }
        Continue(())
    }

    /// Passes bytes of a reply on; `ends` if its last byte is among them.
    async fn to_client(&self, reply: &mut Reply, bytes: &[u8], ends: bool) -> ControlFlow<End> {
        if self.late.take() {
            self.lines.delay(&self.line).await;
        }
        let Some(cut) = &mut reply.cut else { return self.deliver(bytes).await };
        let most = if ends { bytes.len().saturating_sub(1) } else { bytes.len() };
        let length = cut.left.min(most);
        self.deliver(&bytes[..length]).await?;
        cut.left -= length;
        if cut.left == 0 || ends {
            self.lines.landed(&cut.claim, Some(self.line.id));
            return Break(End::Disturbed(cut.fault()));
        }
        Continue(())
    }

    async fn deliver(&self, mut bytes: &[u8]) -> ControlFlow<End> {
        while !bytes.is_empty() {
            let written = match self.client.writable().await {
                Ok(()) => self.lines.shared.hold.pass(|| self.client.try_write(bytes)).await,
                Err(error) => Err(error),
            };
            let written = done(written, Side::Client)?;
            self.lines.shared.ledger.count(|it| it.to_clients += written as u64);
            bytes = &bytes[written..];
        }
        Continue(())
    }

    /// Reads what there is, once bytes of this line may move.
    async fn read(&self, from: &TcpStream, side: Side, buffer: &mut [u8]) -> Result<usize, End> {
        loop {
            let ready = from.readable().await;
            if side == Side::Client && self.line.is_unheard() && self.client.peek(&mut [0]).await.is_ok_and(|it| it > 0)
            {
                // A request is attributed when it arrives, while its sender is running, and not when it is passed on.
                self.lines.seen(self.line.id, Seen::Begun);
            }
            // It waits in the socket, where it cannot be lost.
            match side {
                Side::Client => self.lines.audible(&self.line).await,
                _ => self.lines.clear(&self.line).await,
            }
            match ready.and_then(|()| from.try_read(buffer)) {
                Ok(0) => return Err(End::Left { by: side, reset: false }),
                Ok(length) => return Ok(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(End::Left { by: side, reset: true }),
            }
        }
    }
}

impl Cut {
    fn new(claim: Claim) -> Self {
        let bytes = match claim.act {
            Act::Fault(fault) => cuts_after(fault),
            Act::Call(_) => None,
        };
        Self { claim, left: bytes.unwrap_or(0) }
    }

    fn fault(&self) -> NetworkFault {
        match self.claim.act {
            Act::Fault(fault) => fault,
            Act::Call(_) => NetworkFault::Reset,
        }
    }
}

/// How much was written; nothing if the socket was not ready after all.
fn done(written: io::Result<usize>, side: Side) -> ControlFlow<End, usize> {
    match written {
        Ok(length) => Continue(length),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Continue(0),
        Err(_) => Break(End::Left { by: side, reset: true }),
    }
}
