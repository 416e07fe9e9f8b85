//! The wire proxy against a scripted server and a client that speaks bytes: what passes, what is seen, what each trouble does.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use unstale_harness::postgres::proxy::{Landed, Moment, Proxy, Scope, Seen, Trouble, Watch};

const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(60);

/// What the proxy told, one line each.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Log {
    fn push(&self, line: String) {
        self.lines.lock().unwrap().push(line);
        self.grown.notify_all();
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits until a line has been told.
    fn wait_for(&self, wanted: &str) {
        let lines = self.lines.lock().unwrap();
        let missing = |lines: &mut Vec<String>| !lines.iter().any(|it| it == wanted);
        let (lines, _) = self.grown.wait_timeout_while(lines, LONG, missing).unwrap();
        assert!(lines.iter().any(|it| it == wanted), "no `{wanted}` in {lines:#?}");
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }
}

impl Watch for Log {
    fn seen(&self, connection: u32, what: Seen<'_>) {
        self.push(format!(
            "{connection} {}",
            match what {
                Seen::Opened => "opened".into(),
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

    fn landed(&self, Landed { connection, trouble, moment, .. }: Landed) {
        let trouble = trouble.map_or("call".into(), |it| it.to_string());
        self.push(format!("landed {trouble}@{moment} on {}", connection.map_or("-".into(), |it| it.to_string())));
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0me\0\0";
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], body].concat()
}

fn cancel(pid: u8) -> Vec<u8> {
    [&16_u32.to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), &[0, 0, 0, pid], &[7; 4]].concat()
}

fn greeting(pid: u8) -> Vec<u8> {
    [message(b'R', &[0; 4]), message(b'K', &[0, 0, 0, pid, 7, 7, 7, 7]), message(b'Z', b"I")].concat()
}

fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

/// The reply to any query.
fn reply() -> Vec<u8> {
    [message(b'T', b"\0\0"), message(b'D', b"\0\0"), message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

/// A server whose script the test is; each connection that it accepts comes through a channel.
struct Upstream {
    address: SocketAddr,
    accepted: Receiver<TcpStream>,
}

impl Upstream {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, accepted): (Sender<TcpStream>, _) = channel();
        // The thread ends with the test's process.
        std::thread::spawn(move || listener.incoming().all(|it| it.is_ok_and(|it| sender.send(it).is_ok())));
        Self { address, accepted }
    }

    fn next(&self) -> TcpStream {
        let stream = self.accepted.recv_timeout(LONG).expect("the proxy connects to the server");
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }
}

struct World {
    upstream: Upstream,
    log: Arc<Log>,
    proxy: Proxy,
}

/// Both ends of one connection through the proxy.
struct Ends {
    client: TcpStream,
    server: TcpStream,
}

impl World {
    fn new() -> Self {
        let (upstream, log) = (Upstream::new(), Arc::new(Log::default()));
        let proxy = Proxy::start(upstream.address, log.clone()).unwrap();
        Self { upstream, log, proxy }
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.proxy.address()).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client
    }

    /// A connection that has been greeted, and a log that is empty.
    fn greeted(&self, pid: u8) -> Ends {
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

    fn arm(&self, trouble: Trouble, moment: Moment) {
        self.proxy.arm(trouble, moment, Scope::Next).unwrap();
    }
}

impl Ends {
    /// One request and its reply, through.
    fn round_trip(&mut self) {
        self.client.write_all(&query("select 1")).unwrap();
        expect(&mut self.server, &query("select 1"));
        self.server.write_all(&reply()).unwrap();
        expect(&mut self.client, &reply());
    }
}

#[track_caller]
fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(read, bytes);
}

/// Nothing comes for a while.
#[track_caller]
fn expect_silence(stream: &TcpStream) {
    stream.set_read_timeout(Some(SHORT)).unwrap();
    let read = (&mut &*stream).read(&mut [0]);
    assert!(matches!(&read, Err(error) if error.kind() == ErrorKind::WouldBlock), "{read:?}");
    stream.set_read_timeout(Some(LONG)).unwrap();
}

#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Orderly,
    Reset,
}

/// Everything up to the end, and how that came.
fn rest(stream: &mut TcpStream) -> (Vec<u8>, Ending) {
    let mut read = Vec::new();
    match stream.read_to_end(&mut read) {
        Ok(_) => (read, Ending::Orderly),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => (read, Ending::Reset),
        Err(error) => panic!("neither an end nor a reset: {error}"),
    }
}

#[test]
fn bytes_pass_and_are_told_in_their_order() {
    let world = World::new();
    let mut client = world.connect();
    client.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    expect(&mut client, b"N");
    client.write_all(&startup()).unwrap();
    let mut server = world.upstream.next();
    expect(&mut server, &startup());
    server.write_all(&greeting(77)).unwrap();
    expect(&mut client, &greeting(77));
    let prepare = [message(b'P', b"s\0insert\0\0\0"), message(b'S', b"")].concat();
    let execute = [message(b'B', b"\0s\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
    let prepared = [message(b'1', b""), message(b'Z', b"I")].concat();
    let error = message(b'E', b"SERROR\0VERROR\0C23505\0Mduplicate\0\0");
    let executed = [message(b'2', b""), error, message(b'Z', b"E")].concat();
    for (request, reply) in [(&prepare, &prepared), (&execute, &executed)] {
        client.write_all(request).unwrap();
        expect(&mut server, request);
        // In pieces, so that a message is seen whole only once.
        for byte in reply {
            server.write_all(&[*byte]).unwrap();
        }
        expect(&mut client, reply);
    }
    client.write_all(&message(b'X', b"")).unwrap();
    drop(client);
    assert_eq!(rest(&mut server), (message(b'X', b""), Ending::Orderly));
    world.log.wait_for("1 closed by Client");
    assert_eq!(
        world.log.lines(),
        [
            "1 opened",
            "1 backend 77",
            "1 ready I",
            "1 delivered",
            "1 prepares insert",
            "1 ready I",
            "1 delivered",
            "1 executes insert",
            "1 ERROR 23505 duplicate",
            "1 ready E",
            "1 delivered",
            "1 closed by Client"
        ]
    );
    let counters = world.proxy.counters();
    assert_eq!((counters.connections, counters.requests), (1, 2));
    let bytes = |all: &[&Vec<u8>]| all.iter().map(|it| it.len() as u64).sum::<u64>();
    assert_eq!(counters.to_clients, bytes(&[&greeting(77), &prepared, &executed]));
    assert_eq!(counters.to_server, bytes(&[&startup(), &prepare, &execute, &message(b'X', b"")]));
}

#[test]
fn state_of_a_connection_can_be_asked_at_any_time() {
    let world = World::new();
    let mut ends = world.greeted(5);
    let known = || world.proxy.connection(1).unwrap();
    assert!(!known().is_outstanding() && known().open && known().pid == Some(5));
    ends.client.write_all(&query("select 1")).unwrap();
    world.log.wait_for("1 executes select 1");
    assert!(known().is_outstanding());
    ends.server.write_all(&reply()).unwrap();
    world.log.wait_for("1 delivered");
    assert!(!known().is_outstanding() && known().delivered == 1 && known().status == Some(b'I'));
    drop(ends.server);
    world.log.wait_for("1 closed by Server");
    assert!(!known().open);
    assert_eq!(world.proxy.connection(2), None);
}

#[test]
fn cancel_request_is_passed_on_and_told_of_whom_it_is_about() {
    let world = World::new();
    let _ends = world.greeted(5);
    for (pid, known) in [(9, false), (5, true)] {
        let mut client = world.connect();
        client.write_all(&cancel(pid)).unwrap();
        let mut server = world.upstream.next();
        expect(&mut server, &cancel(pid));
        expect_silence(&client);
        drop(server);
        assert_eq!(rest(&mut client), (vec![], Ending::Orderly));
        assert_eq!(world.log.take(), if known { vec!["1 cancelled 5"] } else { vec![] });
    }
    assert_eq!((world.proxy.counters().cancels, world.proxy.connections().len()), (2, 1));
}

#[test]
fn stranger_is_passed_through_blindly() {
    let world = World::new();
    let mut client = world.connect();
    let strange = b"GET / HTTP/1.1\r\n\r\n";
    client.write_all(strange).unwrap();
    let mut server = world.upstream.next();
    expect(&mut server, strange);
    server.write_all(b"nothing of yours").unwrap();
    expect(&mut client, b"nothing of yours");
    drop(client);
    assert_eq!(rest(&mut server), (vec![], Ending::Orderly));
    world.log.wait_for("1 closed by Client");
    assert_eq!(world.log.lines(), ["1 opened", "1 closed by Client"]);
}

#[test]
fn much_passes_in_both_directions_at_once() {
    let world = World::new();
    let Ends { mut client, server } = world.greeted(5);
    let data: Vec<u8> = (0..200_u8).flat_map(|it| message(b'd', &vec![it; 50_000])).collect();
    let pump = |mut stream: TcpStream, data: Vec<u8>| std::thread::spawn(move || stream.write_all(&data).unwrap());
    let (up, down) = (pump(client.try_clone().unwrap(), data.clone()), pump(server.try_clone().unwrap(), data.clone()));
    let reader = {
        let (mut server, data) = (server.try_clone().unwrap(), data.clone());
        std::thread::spawn(move || expect(&mut server, &data))
    };
    expect(&mut client, &data);
    for thread in [up, down, reader] {
        thread.join().unwrap();
    }
    server.shutdown(Shutdown::Both).unwrap();
    assert_eq!(rest(&mut client), (vec![], Ending::Orderly));
}

#[test]
fn nothing_reaches_the_client_under_a_hold() {
    let world = World::new();
    let mut ends = world.greeted(5);
    for _ in 0..20 {
        ends.client.write_all(&query("select 1")).unwrap();
        let begun = Instant::now();
        let held = world.proxy.hold();
        ends.server.write_all(&reply()).unwrap();
        world.log.wait_for("1 ready I");
        std::thread::sleep(Duration::from_millis(2));
        ends.client.set_nonblocking(true).unwrap();
        let early = ends.client.peek(&mut [0]).is_ok();
        ends.client.set_nonblocking(false).unwrap();
        // On a busy machine the hold may be over by now.
        assert!(!early || begun.elapsed() > Duration::from_millis(19));
        drop(held);
        expect(&mut ends.client, &reply());
        expect(&mut ends.server, &query("select 1"));
        world.log.wait_for("1 delivered");
        world.log.take();
    }
    let _held = world.proxy.hold();
    ends.round_trip();
}

#[test]
fn dropped_proxy_leaves_nothing_behind() {
    let world = World::new();
    let Ends { mut client, mut server } = world.greeted(5);
    let silent = world.connect();
    let address = world.proxy.address();
    drop(world.proxy);
    for stream in [&mut client, &mut server, &mut { silent }] {
        assert!(rest(stream).0.is_empty());
    }
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    // The thread had the other one.
    assert_eq!(Arc::strong_count(&world.log), 1);
}
