//! Chapters 3.1 and 3.2: what a CONNECT must look like and how it is answered.

use std::time::{Duration, Instant};

use super::{List, refuses};
use crate::case::{Check, Stop, ensure};
use crate::client::{Client, Incoming};
use crate::decode::Body;
use crate::property;
use crate::target::Target;
use crate::wire::{self, Publish, Will, frame, put_string};

pub(super) fn list(list: &mut List) {
    list.chapter("3.1 CONNECT", "connect");
    list.both("first-publish", "3.1.0-1", "3.1.0-1", "a PUBLISH before CONNECT closes the connection", |t| {
        refuses(t, &Publish::new(t.topic("t"), "m").encode(t.version))
    });
    list.both("first-pingreq", "3.1.0-1", "3.1.0-1", "a PINGREQ before CONNECT closes the connection", |t| {
        refuses(t, &wire::PINGREQ)
    });
    list.both("first-subscribe", "3.1.0-1", "3.1.0-1", "a SUBSCRIBE before CONNECT closes the connection", |t| {
        refuses(t, &wire::subscribe(t.version, 1, &property::Props::new(), &[("a", 0)]))
    });
    list.both("second", "3.1.0-2", "3.1.0-2 3.2.0-2", "a second CONNECT closes the connection", second);
    list.both("protocol-name", "3.1.2-1", "3.1.2-1", "a wrong protocol name is not served", protocol_name);
    list.both("protocol-level", "3.1.2-2 3.2.2-5", "3.1.2-2", "an unknown protocol level is refused", protocol_level);
    list.both("reserved-flag", "3.1.2-3 3.1.4-1", "3.1.2-3 3.1.4-1", "the reserved connect flag must be 0", |t| {
        refuses(t, &spoil_flags(t, 0x01))
    });
    list.both("will-qos-3", "3.1.2-14 3.2.2-6", "3.1.2-12", "a will QoS of 3 is refused", |t| {
        refuses(t, &t.hello().will(Will::new(t.topic("w"), "w").qos(3)).encode(t.version))
    });
    list.both("will-qos-without-will", "3.1.2-13 3.1.2-11", "3.1.2-11", "no will, so no will QoS", |t| {
        refuses(t, &spoil_flags(t, 0x08))
    });
    list.both("will-retain-without-will", "3.1.2-15 3.1.2-11", "3.1.2-13", "no will, so no will retain", |t| {
        refuses(t, &spoil_flags(t, 0x20))
    });
    list.both("will-missing", "3.1.2-9", "3.1.2-9", "the will flag without a will in the payload", |t| {
        refuses(t, &spoil_flags(t, 0x04))
    });
    list.both("username-missing", "3.1.2-19", "3.1.2-17", "the user name flag without a user name", |t| {
        refuses(t, &with_flags_and_tail(t, 0x82, &[]))
    });
    list.both("username-unflagged", "3.1.2-18 3.1.4-1", "3.1.2-16 3.1.4-1", "a user name without its flag", |t| {
        refuses(t, &with_flags_and_tail(t, 0x02, b"\x00\x01u"))
    });
    list.both("password-missing", "3.1.2-21", "3.1.2-19", "the password flag without a password", |t| {
        refuses(t, &with_flags_and_tail(t, 0xC2, b"\x00\x01u"))
    });
    list.both("password-unflagged", "3.1.2-20 3.1.4-1", "3.1.2-18 3.1.4-1", "a password without its flag", |t| {
        refuses(t, &with_flags_and_tail(t, 0x82, b"\x00\x01u\x00\x01p"))
    });
    list.v3("password-alone", "3.1.2-22", "a password flag without a user name flag", |t| {
        refuses(t, &with_flags_and_tail(t, 0x42, b"\x00\x01p"))
    });
    list.both("username-utf8", "3.1.3-11", "3.1.3-12", "the user name is UTF-8", |t| {
        refuses(t, &with_flags_and_tail(t, 0x82, b"\x00\x03\xED\xA0\x80"))
    });
    list.both("will-topic-utf8", "3.1.3-10", "3.1.3-11", "the will topic is UTF-8", |t| {
        let empty: &[u8] = if t.version.is_v5() { b"\x00" } else { b"" };
        refuses(t, &with_flags_and_tail(t, 0x06, &[empty, b"\x00\x03\xED\xA0\x80\x00\x01w"].concat()))
    });
    list.both("no-payload", "3.1.3-3 3.1.3-1", "3.1.3-3 3.1.3-1", "a CONNECT without client identifier", |t| {
        let mut body = t.hello_as("").body(t.version);
        body.truncate(if t.version.is_v5() { 11 } else { 10 });
        refuses(t, &frame(wire::CONNECT, &body))
    });
    client_ids(list);
    answers(list);
    keep_alive(list);
}

fn client_ids(list: &mut List) {
    list.both("ids-1-to-23", "3.1.3-5 3.1.4-4", "3.1.3-5 3.1.4-5", "ids of 1 to 23 letters and digits", plain_ids);
    list.both("id-empty", "3.1.3-6", "3.1.3-6", "clients without id are told apart", empty_ids);
    list.v3("id-empty-lasting", "3.1.3-8 3.2.2-5 3.2.2-4", "an empty id with Clean Session 0 is refused", |t| {
        let mut client = t.dial()?;
        client.send(&t.hello_as("").resume().encode(t.version));
        let packet = client.next("a CONNACK with return code 2")?;
        if !matches!(packet.body, Body::Connack { code: 2, .. }) {
            return Err(client.wrong("a CONNACK with return code 2", &packet));
        }
        client.expect_closed("the connection closes after the refusal").map(|_| ())
    });
    list.both("id-long", "3.1.3-9", "3.1.3-8", "an id of 60,000 bytes is served or refused as an id", long_id);
    list.v5("id-assigned", "3.1.3-6 3.1.3-7 3.2.2-16", "the server returns the id that it assigns", |t| {
        let mut assigned = Vec::new();
        for _ in 0..3 {
            let (client, _, props) = t.connect_seeing(&t.hello_as(""))?;
            let id = props.string(property::ASSIGNED_CLIENT_ID).unwrap_or_default().to_owned();
            client.check(!id.is_empty() && !assigned.contains(&id), "a new Assigned Client Identifier", &id)?;
            assigned.push(id);
        }
        Ok(())
    });
    list.v5("id-assigned-resumes", "3.1.3-7 3.1.3-2", "a session under an assigned id can be resumed", |t| {
        let (client, _, props) = t.connect_seeing(&t.lasting(t.hello_as("")))?;
        let id = props.string(property::ASSIGNED_CLIENT_ID).unwrap_or_default().to_owned();
        client.disconnect();
        let (client, present, _) = t.connect_seeing(&t.lasting(t.hello_as(&id)))?;
        client.check(present, "session present under the assigned id", "no session")?;
        client.disconnect();
        t.forget(&id)
    });
    list.v5("id-not-assigned", "3.1.3-7", "no Assigned Client Identifier for a client that has an id", |t| {
        let (client, _, props) = t.connect_seeing(&t.hello())?;
        let none = !props.has(property::ASSIGNED_CLIENT_ID);
        client.check(none, "no Assigned Client Identifier", format!("{props:?}"))
    });
}

fn answers(list: &mut List) {
    list.both(
        "refused-data",
        "3.1.4-5 3.1.4-1",
        "3.1.4-6 3.1.4-1",
        "what follows a refused CONNECT is not processed",
        refused_data,
    );
    list.both(
        "pipelined",
        "3.1.4-4 3.2.0-1 7.0.0-2",
        "3.1.4-5 3.2.0-1",
        "packets right behind the CONNECT are served",
        |t| {
            let topic = t.topic("t");
            let mut client = t.dial()?;
            let mut bytes = t.hello().encode(t.version);
            bytes.extend(wire::subscribe(t.version, 7, &property::Props::new(), &[(&topic, 0)]));
            bytes.extend(Publish::new(&topic, "m").encode(t.version));
            client.send(&bytes);
            client.expect_accepted("a CONNACK first")?;
            client.expect_suback(7, 1)?;
            client.expect_message("m").map(|_| ())
        },
    );
    list.both("byte-by-byte", "7.1.1-1", "4.2-1", "packets are found in the stream wherever it is cut", |t| {
        let mut client = t.dial()?;
        for byte in t.hello().encode(t.version).iter().chain(&wire::PINGREQ) {
            client.send(&[*byte]);
        }
        client.expect_accepted("a CONNACK")?;
        let packet = client.next_reply("a PINGRESP")?;
        client.check(matches!(packet.body, Body::Pingresp), "a PINGRESP", packet.to_string())
    });
}

fn keep_alive(list: &mut List) {
    list.both("keep-alive", "3.1.2-24", "3.1.2-22 3.2.2-22", "silence for 1.5 times the keep alive", silence);
    list.both("keep-alive-0", "", "", "a keep alive of 0 turns it off", |t| {
        let (mut client, _, props) = t.connect_seeing(&t.hello().keep_alive(0))?;
        if props.has(property::SERVER_KEEP_ALIVE) {
            return Err(Stop::Skipped("the CONNACK sets a Server Keep Alive in place of 0".into()));
        }
        std::thread::sleep(Duration::from_secs(3));
        client.ping()
    });
    list.both("keep-alive-kept", "3.1.2-24", "3.1.2-22", "any packet keeps the connection alive", |t| {
        let topic = t.topic("t");
        let mut client = t.connect(&t.hello().keep_alive(1))?;
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(700));
            client.publish(&topic, "m", 0)?;
        }
        client.ping()
    });
}

fn second(t: &Target) -> Check {
    let connect = t.hello();
    let mut client = t.connect(&connect)?;
    client.send(&connect.encode(t.version));
    let incoming = client.next_within(t.options.answer);
    match incoming {
        Incoming::Closed => Ok(()),
        Incoming::Packet(packet) if matches!(packet.body, Body::Disconnect { code: 0x81 | 0x82, .. }) => {
            client.expect_closed("the connection closes").map(|_| ())
        }
        other => Err(client.unexpected("the connection closes, in 5.0 as a protocol error", &other)),
    }
}

fn protocol_name(t: &Target) -> Check {
    let mut packet = t.hello().encode(t.version);
    if let Some(last) = packet.iter_mut().skip(2).find(|byte| **byte == b'T') {
        *last = b'X';
    }
    let mut client = t.dial()?;
    client.send(&packet);
    // 3.1.1 lets a server go on under some other specification, so any refusal will do.
    match client.next_within(t.options.answer) {
        Incoming::Closed => Ok(()),
        incoming if refuses_protocol(&incoming) => client.expect_closed("the connection closes").map(|_| ()),
        other => Err(client.unexpected("the connection closes, at most after a CONNACK that refuses", &other)),
    }
}

/// A CONNACK that refuses the protocol. A server that speaks both versions may send it in either form, as such a CONNECT
/// does not tell which its sender understands.
fn refuses_protocol(incoming: &Incoming) -> bool {
    match incoming {
        Incoming::Packet(packet) => matches!(packet.body, Body::Connack { code: 0x01 | 0x84, .. }),
        Incoming::Malformed { raw, .. } => raw == &[0x20, 2, 0, 1] || raw == &[0x20, 3, 0, 0x84, 0],
        Incoming::Closed | Incoming::Silence => false,
    }
}

fn protocol_level(t: &Target) -> Check {
    let mut body = t.hello().body(t.version);
    if let Some(level) = body.get_mut(6) {
        *level = if t.version.is_v5() { 99 } else { 2 };
    }
    let mut client = t.dial()?;
    client.send(&frame(wire::CONNECT, &body));
    match client.next_within(t.options.answer) {
        // 5.0 lets a server say nothing.
        Incoming::Closed if t.version.is_v5() => return Ok(()),
        incoming if refuses_protocol(&incoming) => {}
        other => return Err(client.unexpected("a CONNACK that refuses the protocol level", &other)),
    }
    client.expect_closed("the connection closes after the refusal").map(|_| ())
}

fn plain_ids(t: &Target) -> Check {
    const LETTERS: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let unique = t.id();
    let padded = format!("{unique:0<23}");
    // Nobody else has them: whoever did would be taken over. So the letters come in turns, behind a name of the run's own.
    let room = 23_usize.saturating_sub(unique.len()).max(1);
    let turns = LETTERS.as_bytes().chunks(room).filter_map(|letters| std::str::from_utf8(letters).ok());
    let lettered: Vec<String> = turns.map(|letters| format!("{unique}{letters}")).collect();
    for id in [&unique, &padded].into_iter().chain(&lettered) {
        t.connect(&t.hello_as(id))?.disconnect();
    }
    // One letter is not enough for everybody: a run beside this one may take the client over.
    let turn = unique.bytes().fold(0, |turn, byte| (31 * turn + usize::from(byte)) % LETTERS.len());
    let mut result = Ok(());
    for letter in LETTERS.chars().cycle().skip(turn).step_by(7).take(5) {
        result = t.connect(&t.hello_as(letter)).map(Client::disconnect);
        if result.is_ok() {
            break;
        }
    }
    result
}

fn empty_ids(t: &Target) -> Check {
    let mut first = t.dial()?;
    first.send(&t.hello_as("").encode(t.version));
    let packet = first.next("a CONNACK")?;
    match packet.body {
        Body::Connack { code: 0, .. } => {}
        Body::Connack { code: 0x02 | 0x85, .. } => {
            return first.expect_closed("the refused connection closes").map(|_| ());
        }
        _ => return Err(first.wrong("a CONNACK that accepts or refuses the id", &packet)),
    }
    let mut second = t.connect(&t.hello_as(""))?;
    // Had they the same id, the second would have taken over the session of the first.
    second.ping()?;
    first.ping()
}

fn long_id(t: &Target) -> Check {
    let mut client = t.dial()?;
    client.send(&t.hello_as("x".repeat(60_000)).encode(t.version));
    let incoming = client.next_within(t.options.answer);
    match incoming {
        Incoming::Packet(packet) if matches!(packet.body, Body::Connack { code: 0, .. }) => Ok(()),
        Incoming::Packet(packet) if matches!(packet.body, Body::Connack { code: 0x02 | 0x85 | 0x95, .. }) => {
            client.expect_closed("the refused connection closes").map(|_| ())
        }
        // A packet beyond a server's limits may be cut off, in 5.0 also a client id.
        Incoming::Closed => Ok(()),
        other => Err(client.unexpected("a CONNACK that accepts or refuses the id", &other)),
    }
}

fn refused_data(t: &Target) -> Check {
    let topic = t.topic("t");
    let mut watcher = t.client()?;
    watcher.subscribe(&topic, 0)?;
    let mut client = t.dial()?;
    let mut bytes = spoil_flags(t, 0x01);
    bytes.extend(Publish::new(&topic, "from a refused client").encode(t.version));
    client.send(&bytes);
    client.expect_closed("the refused connection closes")?;
    watcher.expect_nothing("nothing from a client whose CONNECT was refused")
}

/// Several connections, begun at different times: a server that looks only now and then would be in time for some.
fn silence(t: &Target) -> Check {
    let delays = [0, 900, 1800, 2700].map(Duration::from_millis);
    std::thread::scope(|scope| {
        let waits = delays.map(|delay| scope.spawn(move || silence_after(t, delay)));
        let ended = waits.map(|wait| wait.join().unwrap_or_else(|_| Err(Stop::failed("a result", "a panic"))));
        ended.into_iter().collect()
    })
}

fn silence_after(t: &Target, delay: Duration) -> Check {
    std::thread::sleep(delay);
    let (mut client, _, props) = t.connect_seeing(&t.hello().keep_alive(1))?;
    let keep_alive_s = props.number(property::SERVER_KEEP_ALIVE).unwrap_or(1);
    if keep_alive_s > 3 {
        return Err(Stop::Skipped(format!("the CONNACK sets a Server Keep Alive of {keep_alive_s} s")));
    }
    let started = Instant::now();
    let limit = Duration::from_millis(1500) * keep_alive_s;
    // The standard gives no tolerance; two seconds are for servers that look once a second.
    client.expect_closed_within("the connection closes after 1.5 s", limit + Duration::from_secs(2))?;
    let elapsed = started.elapsed();
    // Half of the keep alive on top is the client's to use up.
    let patient = elapsed + Duration::from_millis(100) >= limit;
    ensure(patient, format!("open for {limit:?}"), format!("closed after {elapsed:?}"))
}

/// A CONNECT with additional flags set and nothing in the payload for them.
fn spoil_flags(t: &Target, flags: u8) -> Vec<u8> {
    let mut body = t.hello().body(t.version);
    if let Some(byte) = body.get_mut(7) {
        *byte |= flags;
    }
    frame(wire::CONNECT, &body)
}

/// A CONNECT with these flags whose payload goes on with these bytes after the client identifier.
fn with_flags_and_tail(t: &Target, flags: u8, tail: &[u8]) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT".to_vec();
    body.extend([t.version.level(), flags, 0, 60]);
    if t.version.is_v5() {
        body.push(0);
    }
    put_string(&mut body, t.id().as_bytes());
    body.extend(tail);
    frame(wire::CONNECT, &body)
}
