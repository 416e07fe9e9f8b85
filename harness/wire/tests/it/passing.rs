//! What passes and what is told of it, without any fault.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use unstale_wire::proxy::Proxy;

use crate::wire::*;

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

/// A server closes as soon as it reads a Terminate, which may be before its client does.
#[test]
fn server_that_closes_after_a_farewell_is_left_by_its_client() {
    let world = World::new();
    let mut ends = world.greeted(7);
    ends.client.write_all(&message(b'X', b"")).unwrap();
    expect(&mut ends.server, &message(b'X', b""));
    drop(ends.server);
    world.log.wait_for("1 closed by Client");
}

/// Its thread may not have been let run yet. A race, so it is tried many times.
#[test]
fn proxy_counts_on_its_turns_from_its_start() {
    let upstream = Upstream::new();
    for _ in 0..50 {
        let log = Arc::new(Log::default());
        let _proxy = Proxy::start(upstream.address, log.clone()).unwrap();
        assert!(log.turns() > 0);
    }
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
