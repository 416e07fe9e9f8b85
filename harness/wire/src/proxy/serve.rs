//! The proxy's thread: accepting clients, carrying out orders, and closing sockets.
//!
//! Owns the thread, its runtime, the listening socket and every task on it. When the proxy is dropped its end of the orders
//! closes, the tasks are dropped with their sockets, and the thread ends.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::arming::Act;
use super::disturb::{AtConnect, AtEnd, at_connect, at_end};
use super::line::{End, Lines};
use super::opening::{Opening, opening, refusal};
use super::order::{Healing, Order};
use super::pipe::Pipe;
use super::shared::Shared;
use super::watch::{Seen, Side};
use crate::fault::Moment;

/// Connections at once; more wait in the listening socket.
const CONNECTIONS_MAX: usize = 1024;

/// Between two signs of life.
const TURN: Duration = Duration::from_millis(1);

/// The longest that the server may take to accept a connection, and to close a cancel request's.
const SERVER_MAX: Duration = Duration::from_secs(10);

/// The longest that a peer may take to close its side of a connection that was closed in order.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// What the proxy's thread does, to its end. `ready` hears where it listens.
pub(super) fn run(shared: Arc<Shared>, orders: UnboundedReceiver<Order>, ready: &SyncSender<io::Result<SocketAddr>>) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        match Door::new() {
            Ok(door) => {
                let _ = ready.send(Ok(door.address));
                serve(Rc::new(Lines::new(shared)), door, orders).await;
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    });
    drop(tasks);
    // A call that has not come back is left to itself.
    runtime.shutdown_background();
}

/// The listening socket, and a claim to its port that outlives it.
struct Door {
    address: SocketAddr,
    listener: Option<TcpListener>,
    /// Bound and never listening: while nobody listens connections are refused, and nobody else gets the port.
    _claim: TcpSocket,
}

impl Door {
    fn new() -> io::Result<Self> {
        let claim = socket((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = claim.local_addr()?;
        let mut door = Self { address, listener: None, _claim: claim };
        door.open()?;
        Ok(door)
    }

    fn open(&mut self) -> io::Result<()> {
        if self.listener.is_none() {
            self.listener = Some(socket(self.address)?.listen(1024)?);
        }
        Ok(())
    }

    async fn accept(&self) -> io::Result<TcpStream> {
        match &self.listener {
            Some(listener) => listener.accept().await.map(|(client, _)| client),
            None => std::future::pending().await,
        }
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Not `reuseaddr`: with it others could have the port while nobody listens.
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn serve(lines: Rc<Lines>, mut door: Door, mut orders: UnboundedReceiver<Order>) {
    let mut tasks = JoinSet::new();
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(order) => obey(order, &lines, &mut door).await,
                None => return,
            },
            Some(_) = tasks.join_next() => {}
            accepted = door.accept(), if tasks.len() < CONNECTIONS_MAX => match accepted {
                Ok(client) => {
                    lines.shared.ledger.count(|it| it.accepted += 1);
                    // Refused only by a socket that has lost its peer already.
                    let _ = client.set_nodelay(true);
                    tasks.spawn_local(attend(lines.clone(), client));
                }
                // For example too many open files: the condition passes, or no client can connect.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            _ = turns.tick() => lines.shared.watch.turned(lines.is_late()),
        }
    }
}

async fn obey(order: Order, lines: &Lines, door: &mut Door) {
    // The receiver may be gone, because its thread gave up the wait.
    match order {
        Order::Idle(answer) => {
            lines.meet_idle().await;
            let _ = answer.send(Ok(()));
        }
        Order::TimeOut(answer) => {
            let _ = answer.send(Ok(lines.time_out_idle().await));
        }
        Order::Refuse(answer) => {
            let _ = answer.send(refuse(lines, door).await);
        }
        Order::Heal(what, answer) => {
            lines.heal(what);
            let _ = answer.send(door.open());
        }
    }
}

/// Closes the door. That it is shut is tried: of those who are refused nothing is ever seen here.
async fn refuse(lines: &Lines, door: &mut Door) -> io::Result<()> {
    while let Some(claim) = lines.shared.armings.claim_refusal() {
        door.listener = None;
        match TcpStream::connect(door.address).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => lines.landed(&claim, None),
            Err(error) => return Err(error),
            Ok(_) => return Err(io::Error::other("another program listens at the proxy's address")),
        }
    }
    Ok(())
}

/// Serves one client from its first byte to its last.
async fn attend(lines: Rc<Lines>, mut client: TcpStream) {
    let lines = &lines;
    let (mut latency, mut may_log_in) = (None, true);
    if let Some(claim) = lines.shared.armings.claim(None, Moment::Connect) {
        lines.landed(&claim, None);
        let effect = match claim.act {
            Act::Fault(fault) => at_connect(fault),
            Act::Call(_) => AtConnect::Reset,
        };
        match effect {
            AtConnect::Wait => lines.healed(Healing::Network).await,
            AtConnect::Delay(late) => {
                latency = Some(late);
                lines.wait(late).await;
            }
            AtConnect::RefuseLogin => may_log_in = false,
            AtConnect::StaySilent => return stay_silent(lines.healed(Healing::Network), client).await,
            AtConnect::Close => return await_end(half_closed(client).await).await,
            AtConnect::Reset => return reset([client]),
        }
    }
    // A client that has already left is not an error.
    let Ok(opening) = opening(&mut client).await else { return };
    match opening {
        Opening::Startup(_) if !may_log_in => {
            // A client that has left meanwhile is not told.
            let _ = client.write_all(&refusal()).await;
            await_end(half_closed(client).await).await;
        }
        Opening::Startup(bytes) => connect(lines, client, &bytes, false, latency).await,
        Opening::Strange(bytes) => connect(lines, client, &bytes, true, latency).await,
        // It fails if the server is gone, and then there is nothing to cancel.
        Opening::Cancel { pid, bytes } => drop(pass_cancel_on(lines, pid, &bytes).await),
    }
}

async fn connect(lines: &Lines, client: TcpStream, startup: &[u8], blind: bool, latency: Option<Duration>) {
    let line = lines.open(latency);
    let Ok(server) = to_server(lines).await else {
        reset([client]);
        lines.close(&line, Side::Server);
        return;
    };
    let end = Pipe::new(lines, line.clone(), &client, &server).run(startup, blind).await;
    match end {
        End::Left { by, reset: was_reset } => {
            let by = if line.farewell.get() { Side::Client } else { by };
            let (other, gone) = if by == Side::Client { (server, client) } else { (client, server) };
            drop(gone);
            if was_reset {
                reset([other])
            } else {
                drop(other)
            }
            lines.close(&line, by);
        }
        End::Disturbed(fault) => match at_end(fault) {
            AtEnd::Close => {
                drop(server);
                let client = half_closed(client).await;
                lines.close(&line, Side::Fault);
                await_end(client).await;
            }
            AtEnd::StaySilent => {
                drop(server);
                lines.close(&line, Side::Fault);
                stay_silent(lines.healed(Healing::Everything), client).await;
            }
            AtEnd::Reset => {
                reset([client, server]);
                lines.close(&line, Side::Fault);
            }
        },
    }
}

/// Passes a cancel request on. The server closes its connection when it has told the backend; so does the client's then.
async fn pass_cancel_on(lines: &Lines, pid: u32, bytes: &[u8]) -> io::Result<()> {
    let mut server = to_server(lines).await?;
    server.write_all(bytes).await?;
    lines.shared.ledger.count(|it| it.cancels += 1);
    if let Some(connection) = lines.shared.ledger.served_by(pid) {
        lines.seen(connection, Seen::Cancelled { pid });
    }
    await_eof(&server, SERVER_MAX).await
}

async fn to_server(lines: &Lines) -> io::Result<TcpStream> {
    let server = timeout(SERVER_MAX, TcpStream::connect(lines.shared.server)).await??;
    server.set_nodelay(true)?;
    Ok(server)
}

/// Answers nothing until healed, or until the client has gone; what it says is swallowed.
async fn stay_silent(healed: impl Future<Output = ()>, client: TcpStream) {
    tokio::select! {
        biased;
        () = healed => {}
        _ = swallow(&client) => {}
    }
    reset([client]);
}

fn reset<const N: usize>(streams: [TcpStream; N]) {
    for stream in &streams {
        // It fails for a socket that has no connection any more, and then there is nothing to reset.
        let _ = stream.set_zero_linger();
    }
}

async fn half_closed(mut client: TcpStream) -> TcpStream {
    // It fails for a client that has gone already.
    let _ = client.shutdown().await;
    client
}

/// Waits for the client's own end: a socket that is closed with bytes unread would be reset after all.
async fn await_end(client: TcpStream) {
    let _ = await_eof(&client, CLOSE_MAX).await;
}

async fn await_eof(stream: &TcpStream, most: Duration) -> io::Result<()> {
    timeout(most, swallow(stream)).await?
}

async fn swallow(stream: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 4 << 10];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
