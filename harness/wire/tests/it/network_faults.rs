//! What each fault does at each moment, to the byte.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use unstale_wire::proxy::{Moment, NetworkFault, Scope};

use crate::wire::*;

/// How late things are under `latency` in these tests.
const LATE: Duration = Duration::from_millis(80);

/// A request that is on its way when fault comes.
struct Disturbed {
    ends: Ends,
    world: World,
    begun: Instant,
}

impl Disturbed {
    /// Brings one connection to a moment within a request for which the fault is armed, and sees it land.
    fn at(moment: Moment, fault: NetworkFault) -> Self {
        let world = World::new();
        let mut ends = world.greeted(5);
        world.arm(fault, moment);
        let begun = Instant::now();
        ends.client.write_all(&query("select 1")).unwrap();
        if moment != Moment::BeforeSend {
            expect(&mut ends.server, &query("select 1"));
        }
        if moment > Moment::Sent {
            // Of a reply in pieces the first may not be passed on before it is known what becomes of the whole.
            let pieces = if moment == Moment::BeforeReply { 2 } else { 1 };
            for piece in reply().chunks(reply().len().div_ceil(pieces)) {
                ends.server.write_all(piece).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        world.log.wait_for(&format!("landed {fault}@{moment} on 1"));
        Self { ends, world, begun }
    }

    /// What the client has of the reply by then.
    fn beginning(moment: Moment) -> Vec<u8> {
        if moment == Moment::MidReply { message(b'T', b"\0\0") } else { vec![] }
    }

    /// Whether the server has the request.
    fn is_sent(moment: Moment) -> bool {
        moment > Moment::BeforeSend
    }

    /// The rest of the round trip goes as if nothing had been.
    fn goes_on(&mut self, moment: Moment) {
        if !Self::is_sent(moment) {
            expect(&mut self.ends.server, &query("select 1"));
        }
        if moment <= Moment::Sent {
            self.ends.server.write_all(&reply()).unwrap();
        }
        expect(&mut self.ends.client, &reply()[Self::beginning(moment).len()..]);
        self.ends.round_trip();
    }
}

const WITHIN_A_REQUEST: [Moment; 4] = [Moment::BeforeSend, Moment::Sent, Moment::BeforeReply, Moment::MidReply];

#[test]
fn reset_cuts_both_sides_at_every_moment() {
    for moment in WITHIN_A_REQUEST {
        let Disturbed { mut ends, world, .. } = Disturbed::at(moment, NetworkFault::Reset);
        assert_eq!(rest(&mut ends.client), (Disturbed::beginning(moment), Ending::Reset), "{moment}");
        assert_eq!(rest(&mut ends.server), (vec![], Ending::Reset), "{moment}");
        world.log.wait_for("1 closed by Fault");
        let lines = world.log.lines();
        let told = |line: &str| lines.iter().any(|it| it == line);
        assert_eq!(told("1 executes select 1"), Disturbed::is_sent(moment), "{moment}");
        assert_eq!(told("1 ready I"), moment == Moment::BeforeReply, "{moment}: {lines:?}");
        assert!(!told("1 delivered"), "{moment}");
        world.greeted(6).round_trip();
    }
}

#[test]
fn fin_closes_both_sides_in_order_at_every_moment() {
    for moment in WITHIN_A_REQUEST {
        let Disturbed { mut ends, world, .. } = Disturbed::at(moment, NetworkFault::Fin);
        assert_eq!(rest(&mut ends.client), (Disturbed::beginning(moment), Ending::Orderly), "{moment}");
        assert_eq!(rest(&mut ends.server), (vec![], Ending::Orderly), "{moment}");
        world.log.wait_for("1 closed by Fault");
        world.greeted(6).round_trip();
    }
}

#[test]
fn half_open_connection_is_silent_for_its_client_and_closed_for_its_server() {
    for moment in WITHIN_A_REQUEST {
        let Disturbed { mut ends, world, .. } = Disturbed::at(moment, NetworkFault::HalfOpen);
        assert_eq!(rest(&mut ends.server), (vec![], Ending::Orderly), "{moment}");
        world.log.wait_for("1 closed by Fault");
        expect(&mut ends.client, &Disturbed::beginning(moment));
        expect_silence(&ends.client);
        ends.client.write_all(&query("select 2")).unwrap();
        expect_silence(&ends.client);
        world.proxy.heal_network().unwrap();
        expect_silence(&ends.client);
        world.proxy.heal().unwrap();
        assert_eq!(rest(&mut ends.client), (vec![], Ending::Reset), "{moment}");
    }
}

#[test]
fn black_hole_recovers_without_losing_a_byte() {
    for moment in WITHIN_A_REQUEST {
        let mut disturbed = Disturbed::at(moment, NetworkFault::BlackHole);
        expect(&mut disturbed.ends.client, &Disturbed::beginning(moment));
        expect_silence(&disturbed.ends.client);
        expect_silence(&disturbed.ends.server);
        disturbed.world.proxy.heal().unwrap();
        disturbed.goes_on(moment);
    }
}

#[test]
fn black_hole_that_is_full_on_both_sides_recovers() {
    let Disturbed { ends, world, .. } = Disturbed::at(Moment::Sent, NetworkFault::BlackHole);
    let data = message(b'd', &vec![7; 20_000_000]);
    let pump = |mut stream: TcpStream| {
        let data = data.clone();
        std::thread::spawn(move || stream.write_all(&data).unwrap())
    };
    let pumps = [pump(ends.client.try_clone().unwrap()), pump(ends.server.try_clone().unwrap())];
    std::thread::sleep(SHORT);
    assert!(pumps.iter().all(|it| !it.is_finished()), "what nobody takes cannot be sent for ever");
    world.proxy.heal().unwrap();
    let readers = [ends.client, ends.server].map(|mut stream| {
        let data = data.clone();
        std::thread::spawn(move || expect(&mut stream, &data))
    });
    for thread in pumps.into_iter().chain(readers) {
        thread.join().unwrap();
    }
}

#[test]
fn latency_makes_this_and_later_ones_late_until_healed() {
    let latency = NetworkFault::Latency(u16::try_from(LATE.as_millis()).unwrap());
    for moment in WITHIN_A_REQUEST {
        let mut disturbed = Disturbed::at(moment, latency);
        expect(&mut disturbed.ends.client, &Disturbed::beginning(moment));
        let passes = moment == Moment::BeforeSend;
        if passes {
            expect(&mut disturbed.ends.server, &query("select 1"));
            disturbed.ends.server.write_all(&reply()).unwrap();
        } else if moment == Moment::Sent {
            disturbed.ends.server.write_all(&reply()).unwrap();
        }
        expect(&mut disturbed.ends.client, &reply()[Disturbed::beginning(moment).len()..]);
        let times = if passes { 2 } else { 1 };
        assert!(disturbed.begun.elapsed() >= times * LATE, "{moment}: {:?}", disturbed.begun.elapsed());
        let again = Instant::now();
        disturbed.ends.round_trip();
        assert!(again.elapsed() >= 2 * LATE, "{moment}: each request and each reply");
        assert!(disturbed.world.log.takes_late(), "{moment}: what is late comes by itself, and is told");
        disturbed.world.proxy.heal().unwrap();
        let healed = Instant::now();
        disturbed.world.log.takes_late();
        disturbed.ends.round_trip();
        assert!(!disturbed.world.log.takes_late(), "{moment}: nothing is late");
        assert!(healed.elapsed() < LATE, "{moment}");
    }
}

#[test]
fn cut_lets_so_many_bytes_of_the_reply_pass() {
    let last = reply().len() - 1;
    for (bytes, passed) in [(0, 0), (1, 1), (7, 7), (12, 12), (last, last), (last + 1, last), (60_000, last)] {
        let fault = NetworkFault::CutAfter(u16::try_from(bytes).unwrap());
        let Disturbed { mut ends, world, .. } = Disturbed::at(Moment::MidReply, fault);
        assert_eq!(rest(&mut ends.client), (reply()[..passed].to_vec(), Ending::Reset), "{bytes}");
        assert_eq!(rest(&mut ends.server), (vec![], Ending::Reset), "{bytes}");
        world.log.wait_for("1 closed by Fault");
    }
}

#[test]
fn call_at_every_moment_sees_the_connection_stand_still() {
    for moment in WITHIN_A_REQUEST {
        let world = World::new();
        let mut ends = world.greeted(5);
        let called = Arc::new(AtomicU32::new(0));
        let call = {
            let called = called.clone();
            move |pid| {
                std::thread::sleep(2 * SHORT);
                called.store(pid, Ordering::SeqCst);
            }
        };
        world.proxy.arm_call(moment, Scope::Next, call).unwrap();
        ends.client.write_all(&query("select 1")).unwrap();
        if moment != Moment::BeforeSend {
            expect(&mut ends.server, &query("select 1"));
        }
        if moment > Moment::Sent {
            ends.server.write_all(&reply()).unwrap();
        }
        world.log.wait_for(&format!("landed call@{moment} on 1"));
        expect(&mut ends.client, &Disturbed::beginning(moment));
        expect_silence(&ends.client);
        assert_eq!(called.load(Ordering::SeqCst), 0, "{moment}");
        let mut disturbed = Disturbed { ends, world, begun: Instant::now() };
        disturbed.goes_on(moment);
        assert_eq!(called.load(Ordering::SeqCst), 5, "{moment}");
    }
}

#[test]
fn call_may_use_the_proxy_and_a_panic_in_it_holds_up_nothing() {
    let World { upstream, log, proxy } = World::new();
    let proxy = Arc::new(proxy);
    let armed = Arc::downgrade(&proxy);
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    client.write_all(&startup()).unwrap();
    let mut server = upstream.next();
    expect(&mut server, &startup());
    let call = move |_| {
        let proxy = armed.upgrade().unwrap();
        proxy.heal().unwrap();
        panic!("a call's panic is its own");
    };
    proxy.arm_call(Moment::Sent, Scope::Next, call).unwrap();
    client.write_all(&query("select 1")).unwrap();
    expect(&mut server, &query("select 1"));
    server.write_all(&reply()).unwrap();
    expect(&mut client, &reply());
    log.wait_for("1 delivered");
}

#[test]
fn idle_fault_lands_at_once_and_only_where_nothing_is_under_way() {
    let world = World::new();
    let (mut first, mut busy, mut third) = (world.greeted(1), world.greeted(2), world.greeted(3));
    busy.client.write_all(&query("select 1")).unwrap();
    world.log.wait_for("2 executes select 1");
    world.log.take();
    world.proxy.arm(NetworkFault::Reset, Moment::Idle, Scope::All).unwrap();
    let landed = ["1 closed by Fault", "3 closed by Fault", "landed reset@idle on 1", "landed reset@idle on 3"];
    let mut lines = world.log.take();
    lines.sort();
    assert_eq!(lines, landed);
    for stream in [&mut first.client, &mut first.server, &mut third.client, &mut third.server] {
        assert_eq!(rest(stream), (vec![], Ending::Reset));
    }
    expect(&mut busy.server, &query("select 1"));
    busy.server.write_all(&reply()).unwrap();
    expect(&mut busy.client, &reply());
    world.log.wait_for("2 delivered");
    world.log.take();
    // Who was busy then does not meet it later, when something else is armed.
    world.proxy.arm(NetworkFault::Latency(1), Moment::Idle, Scope::All).unwrap();
    assert_eq!(world.log.take(), ["landed latency-1@idle on 2"]);
    busy.round_trip();
}

#[test]
fn idle_connection_can_be_closed_silenced_swallowed_or_late() {
    for fault in [NetworkFault::Fin, NetworkFault::HalfOpen, NetworkFault::BlackHole, NetworkFault::Latency(80)] {
        let world = World::new();
        let mut ends = world.greeted(5);
        world.proxy.arm(fault, Moment::Idle, Scope::One(1)).unwrap();
        assert!(world.log.lines().contains(&format!("landed {fault}@idle on 1")));
        match fault {
            NetworkFault::Fin => {
                assert_eq!(rest(&mut ends.client), (vec![], Ending::Orderly));
                assert_eq!(rest(&mut ends.server), (vec![], Ending::Orderly));
            }
            NetworkFault::HalfOpen => {
                assert_eq!(rest(&mut ends.server), (vec![], Ending::Orderly));
                expect_silence(&ends.client);
            }
            NetworkFault::BlackHole => {
                ends.client.write_all(&query("select 1")).unwrap();
                expect_silence(&ends.server);
                world.proxy.heal().unwrap();
                expect(&mut ends.server, &query("select 1"));
            }
            _ => {
                let begun = Instant::now();
                ends.round_trip();
                assert!(begun.elapsed() >= 2 * LATE);
            }
        }
    }
}

#[test]
fn refused_until_healed() {
    let world = World::new();
    let mut before = world.greeted(1);
    world.proxy.arm(NetworkFault::Refuse, Moment::Connect, Scope::All).unwrap();
    assert_eq!(world.log.take(), ["landed refuse@connect on -"]);
    for _ in 0..3 {
        let error = TcpStream::connect(world.proxy.address()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
    let taken = std::net::TcpListener::bind(world.proxy.address()).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse, "nobody else gets the port meanwhile");
    before.round_trip();
    world.proxy.heal().unwrap();
    world.greeted(2).round_trip();
}

#[test]
fn connecting_client_meets_what_is_armed_for_it() {
    for fault in [
        NetworkFault::Reset,
        NetworkFault::Fin,
        NetworkFault::HangConnect,
        NetworkFault::BlackHole,
        NetworkFault::Latency(80),
    ] {
        let world = World::new();
        world.proxy.arm(fault, Moment::Connect, Scope::Next).unwrap();
        let begun = Instant::now();
        let mut client = world.connect();
        world.log.wait_for(&format!("landed {fault}@connect on -"));
        let sent = client.write_all(&startup());
        match fault {
            // Whichever call comes first after the reset hears of it.
            NetworkFault::Reset => assert!(sent.is_err() || rest(&mut client).1 == Ending::Reset),
            NetworkFault::Fin => assert_eq!(rest(&mut client), (vec![], Ending::Orderly)),
            NetworkFault::HangConnect => {
                expect_silence(&client);
                world.proxy.heal().unwrap();
                assert_eq!(rest(&mut client), (vec![], Ending::Reset));
            }
            _ => {
                sent.unwrap();
                if fault == NetworkFault::BlackHole {
                    expect_silence(&client);
                    world.proxy.heal().unwrap();
                }
                expect(&mut world.upstream.next(), &startup());
                assert!(begun.elapsed() >= SHORT);
            }
        }
        let known = world.proxy.connections().len();
        assert_eq!(known, usize::from(matches!(fault, NetworkFault::BlackHole | NetworkFault::Latency(_))), "{fault}");
    }
}

#[test]
fn moments_of_a_reply_wait_for_a_request_that_executes() {
    let world = World::new();
    let mut ends = world.greeted(5);
    for moment in [Moment::Sent, Moment::BeforeReply, Moment::MidReply] {
        world.arm(NetworkFault::BlackHole, moment);
    }
    let prepare = [message(b'P', b"s\0insert\0\0\0"), message(b'S', b"")].concat();
    let prepared = [message(b'1', b""), message(b'Z', b"I")].concat();
    ends.client.write_all(&prepare).unwrap();
    expect(&mut ends.server, &prepare);
    ends.server.write_all(&prepared).unwrap();
    expect(&mut ends.client, &prepared);
    world.log.wait_for("1 delivered");
    assert!(!world.log.lines().iter().any(|it| it.starts_with("landed")));
}

#[test]
fn withdrawn_arming_lands_on_nobody() {
    let world = World::new();
    let mut ends = world.greeted(5);
    let armed = world.proxy.arm(NetworkFault::Reset, Moment::Sent, Scope::One(1)).unwrap();
    let other = world.proxy.arm(NetworkFault::Reset, Moment::Sent, Scope::One(2)).unwrap();
    assert!(!world.proxy.withdraw(armed));
    ends.round_trip();
    assert!(!world.proxy.withdraw(other));
    let landed = world.proxy.arm(NetworkFault::Latency(1), Moment::BeforeSend, Scope::Next).unwrap();
    ends.round_trip();
    assert!(world.proxy.withdraw(landed));
    assert_eq!(world.proxy.counters().landed, 1);
}

#[test]
fn reply_that_is_too_long_to_keep_is_passed_on_from_its_beginning() {
    let world = World::new();
    let mut ends = world.greeted(5);
    world.arm(NetworkFault::BlackHole, Moment::BeforeReply);
    ends.client.write_all(&query("select 1")).unwrap();
    expect(&mut ends.server, &query("select 1"));
    let rows: Vec<u8> = (0..40).flat_map(|it| message(b'D', &vec![it; 100_000])).collect();
    let reader = {
        let (mut client, rows) = (ends.client.try_clone().unwrap(), rows.clone());
        std::thread::spawn(move || expect(&mut client, &rows[..3_900_000]))
    };
    ends.server.write_all(&rows).unwrap();
    reader.join().unwrap();
    ends.server.write_all(&reply()).unwrap();
    world.log.wait_for("landed black-hole@before-reply on 1");
    world.proxy.heal().unwrap();
    expect(&mut ends.client, &[&rows[3_900_000..], &reply()].concat());
}

#[test]
fn senseless_arming_is_refused_with_the_reason() {
    let world = World::new();
    let why = |fault, moment, scope| world.proxy.arm(fault, moment, scope).unwrap_err().to_string();
    assert!(why(NetworkFault::CutAfter(1), Moment::Sent, Scope::All).contains("take `mid-reply`"));
    assert!(why(NetworkFault::Refuse, Moment::Connect, Scope::Next).contains("apply it to all"));
    assert!(why(NetworkFault::Reset, Moment::Connect, Scope::One(1)).contains("no number"));
    assert!(why(NetworkFault::Reset, Moment::Idle, Scope::Next).contains("apply it to one"));
    let call = world.proxy.arm_call(Moment::Idle, Scope::All, |_| ()).unwrap_err().to_string();
    assert!(call.contains("without the proxy"));
}

#[test]
fn server_that_is_not_there_resets_its_clients() {
    let world = World::new();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = unstale_wire::proxy::Proxy::start(gone, world.log.clone()).unwrap();
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    client.write_all(&startup()).unwrap();
    assert_eq!(rest(&mut client), (vec![], Ending::Reset));
    world.log.wait_for("1 closed by Server");
}

#[test]
fn proxies_come_and_go_quickly() {
    let world = World::new();
    let begun = Instant::now();
    for _ in 0..50 {
        drop(unstale_wire::proxy::Proxy::start(world.upstream.address, world.log.clone()).unwrap());
    }
    let each = begun.elapsed() / 50;
    println!("{each:?} for one proxy");
    assert!(each < Duration::from_millis(50), "{each:?}");
}

#[test]
fn login_is_refused_as_a_server_does_until_healed() {
    let world = World::new();
    let mut known = world.greeted(5);
    world.proxy.arm(NetworkFault::RefuseLogin, Moment::Connect, Scope::All).unwrap();
    for _ in 0..2 {
        let mut client = TcpStream::connect(world.proxy.address()).unwrap();
        client.write_all(&startup()).unwrap();
        let (answer, ending) = rest(&mut client);
        let body = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0Rauth_failed\0\0";
        assert_eq!((answer, ending), (message(b'E', body), Ending::Orderly));
    }
    assert_eq!(world.proxy.counters().connections, 1, "no server has seen them");
    known.round_trip();
    world.proxy.heal().unwrap();
    world.greeted(6).round_trip();
}
