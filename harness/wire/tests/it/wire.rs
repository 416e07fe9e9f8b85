//! A scripted server, a client that speaks bytes, and a log of what the proxy between them tells.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use unstale_wire::proxy::{Landed, Moment, NetworkFault, Proxy, Scope, Seen, Watch};

pub(crate) const LONG: Duration = Duration::from_secs(5);
pub(crate) const SHORT: Duration = Duration::from_millis(60);

/// What the proxy told, one line each.
#[derive(Default)]
pub(crate) struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
    late: AtomicBool,
    turns: AtomicUsize,
}

impl Log {
    fn push(&self, line: String) {
        self.lines.lock().unwrap().push(line);
        self.grown.notify_all();
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits until a line has been told.
    pub(crate) fn wait_for(&self, wanted: &str) {
        let lines = self.lines.lock().unwrap();
        let missing = |lines: &mut Vec<String>| !lines.iter().any(|it| it == wanted);
        let (lines, _) = self.grown.wait_timeout_while(lines, LONG, missing).unwrap();
        assert!(lines.iter().any(|it| it == wanted), "no `{wanted}` in {lines:#?}");
    }

    /// Whether the proxy has said since the last time that it delays something.
    pub(crate) fn takes_late(&self) -> bool {
        self.late.swap(false, Ordering::SeqCst)
    }

    /// How often the proxy has said that it has been to all its sockets.
    pub(crate) fn turns(&self) -> usize {
        self.turns.load(Ordering::SeqCst)
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }
}

impl Watch for Log {
    fn turned(&self, is_late: bool) {
        self.late.fetch_or(is_late, Ordering::SeqCst);
        self.turns.fetch_add(1, Ordering::SeqCst);
    }

    fn seen(&self, connection: u32, what: Seen<'_>) {
        self.push(format!(
            "{connection} {}",
            match what {
                Seen::Opened => "opened".into(),
                Seen::Begun | Seen::Challenged | Seen::Responded => return,
                Seen::Backend { pid } => format!("backend {pid}"),
                Seen::Request { sql, executes: true } => format!("executes {sql}"),
                Seen::Request { sql, executes: false } => format!("prepares {sql}"),
                Seen::Completed { tag } => format!("completed {tag}"),
                Seen::Refused { severity, code, message } => format!("{severity} {code} {message}"),
                Seen::Ready { status } => format!("ready {}", char::from(status)),
                Seen::Delivered => "delivered".into(),
                Seen::Cancelled { pid } => format!("cancelled {pid}"),
                Seen::Closed { by } => format!("closed by {by:?}"),
            }
        ));
    }

    fn landed(&self, Landed { connection, fault, moment, .. }: Landed) {
        let fault = fault.map_or("call".into(), |it| it.to_string());
        self.push(format!("landed {fault}@{moment} on {}", connection.map_or("-".into(), |it| it.to_string())));
    }
}

pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

pub(crate) fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0me\0\0";
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], body].concat()
}

pub(crate) fn cancel(pid: u8) -> Vec<u8> {
    [&16_u32.to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), &[0, 0, 0, pid], &[7; 4]].concat()
}

pub(crate) fn greeting(pid: u8) -> Vec<u8> {
    [message(b'R', &[0; 4]), message(b'K', &[0, 0, 0, pid, 7, 7, 7, 7]), message(b'Z', b"I")].concat()
}

pub(crate) fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

/// The reply to any query.
pub(crate) fn reply() -> Vec<u8> {
    [message(b'T', b"\0\0"), message(b'D', b"\0\0"), message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

/// A server whose script the test is; each connection that it accepts comes through a channel.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) accepted: Receiver<TcpStream>,
}

impl Upstream {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, accepted): (Sender<TcpStream>, _) = channel();
        // The thread ends with the test's process.
        std::thread::spawn(move || listener.incoming().all(|it| it.is_ok_and(|it| sender.send(it).is_ok())));
        Self { address, accepted }
    }

    pub(crate) fn next(&self) -> TcpStream {
        let stream = self.accepted.recv_timeout(LONG).expect("the proxy connects to the server");
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }
}

pub(crate) struct World {
    pub(crate) upstream: Upstream,
    pub(crate) log: Arc<Log>,
    pub(crate) proxy: Proxy,
}

/// Both ends of one connection through the proxy.
pub(crate) struct Ends {
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
}

impl World {
    pub(crate) fn new() -> Self {
        let (upstream, log) = (Upstream::new(), Arc::new(Log::default()));
        let proxy = Proxy::start(upstream.address, log.clone()).unwrap();
        Self { upstream, log, proxy }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.proxy.address()).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client
    }

    /// A connection that has been greeted, and a log that is empty.
    pub(crate) fn greeted(&self, pid: u8) -> Ends {
        let mut client = self.connect();
        client.write_all(&startup()).unwrap();
        let mut server = self.upstream.next();
        expect(&mut server, &startup());
        server.write_all(&greeting(pid)).unwrap();
        expect(&mut client, &greeting(pid));
        let id = self.proxy.connections().len();
        self.log.wait_for(&format!("{id} delivered"));
        self.log.take();
        Ends { client, server }
    }

    pub(crate) fn arm(&self, fault: NetworkFault, moment: Moment) {
        self.proxy.arm(fault, moment, Scope::Next).unwrap();
    }
}

impl Ends {
    /// One request and its reply, through.
    pub(crate) fn round_trip(&mut self) {
        self.client.write_all(&query("select 1")).unwrap();
        expect(&mut self.server, &query("select 1"));
        self.server.write_all(&reply()).unwrap();
        expect(&mut self.client, &reply());
    }
}

#[track_caller]
pub(crate) fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(read, bytes);
}

/// Nothing comes for a while.
#[track_caller]
pub(crate) fn expect_silence(stream: &TcpStream) {
    stream.set_read_timeout(Some(SHORT)).unwrap();
    let read = (&mut &*stream).read(&mut [0]);
    assert!(matches!(&read, Err(error) if error.kind() == ErrorKind::WouldBlock), "{read:?}");
    stream.set_read_timeout(Some(LONG)).unwrap();
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Orderly,
    Reset,
}

/// Everything up to the end, and how that came.
pub(crate) fn rest(stream: &mut TcpStream) -> (Vec<u8>, Ending) {
    let mut read = Vec::new();
    match stream.read_to_end(&mut read) {
        Ok(_) => (read, Ending::Orderly),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => (read, Ending::Reset),
        Err(error) => panic!("neither an end nor a reset: {error}"),
    }
}
