//! Chapters 3.12 to 3.15 and 4.12: PINGREQ, DISCONNECT, AUTH.

use super::{List, closes};
use crate::case::{Check, Stop};
use crate::client::Incoming;
use crate::decode::Body;
use crate::property::{self, Props};
use crate::target::Target;
use crate::wire::{self, frame};

pub(super) fn list(list: &mut List) {
    list.chapter("3.12 PINGREQ, 3.14 DISCONNECT", "control");
    list.both("ping", "3.12.4-1", "3.12.4-1", "each PINGREQ gets a PINGRESP", |t| {
        let mut client = t.client()?;
        for _ in 0..3 {
            client.ping()?;
        }
        Ok(())
    });
    list.both("pings", "3.12.4-1", "3.12.4-1", "PINGREQs in one segment get as many PINGRESPs", |t| {
        let mut client = t.client()?;
        client.send(&wire::PINGREQ.repeat(10));
        for _ in 0..10 {
            let packet = client.next_reply("a PINGRESP")?;
            client.check(matches!(packet.body, Body::Pingresp), "a PINGRESP", packet.to_string())?;
        }
        Ok(())
    });
    list.both("ping-with-body", "4.8.0-1", "4.13.1-1", "a PINGREQ with a body closes the connection", |t| {
        closes(t, &[0xC0, 1, 0])
    });
    list.v3("disconnect-with-body", "4.8.0-1", "a DISCONNECT with a body closes the connection", |t| {
        closes(t, &[0xE0, 1, 0])
    });
    list.v5(
        "disconnect-code",
        "3.1.2-8",
        "a DISCONNECT with a reason code other than 0 leaves the will: it goes out",
        |t| {
            let (mut watcher, topic) = super::will::watch(t, 1)?;
            let mut client = t.connect(&t.hello().will(wire::Will::new(&topic, "will")))?;
            client.send(&[0xE0, 1, 0x7F]);
            client.expect_closed("the connection closes")?;
            watcher.expect_message("will").map(|_| ())
        },
    );
    list.v5("disconnect-error", "3.1.2-8", "a DISCONNECT that reports an error leaves the will: it goes out", |t| {
        let (mut watcher, topic) = super::will::watch(t, 1)?;
        let client = t.connect(&t.hello().will(wire::Will::new(&topic, "will")))?;
        client.disconnect_with(0x80, &Props::new());
        watcher.expect_message("will").map(|_| ())
    });
    list.v5("disconnect-reserved", "3.14.1-1", "DISCONNECT flags are checked: malformed packet", |t| {
        closes(t, &[0xE2, 1, 0])
    });
    list.v5(
        "disconnect-last",
        "3.14.4-1 3.14.4-2 3.14.2-1 3.14.2-2 4.13.2-1",
        "after its DISCONNECT the server sends nothing and closes",
        |t| {
            let mut client = t.client()?;
            // The decoder fails on a reason code or a property that is not a server's.
            client.send(&[0x00, 0, 0xC0, 0, 0xC0, 0]);
            client.expect_closed("the connection closes without further packets").map(|_| ())
        },
    );
    list.v5("no-disconnect-first", "3.14.0-1", "no DISCONNECT before a CONNACK that accepts", |t| {
        super::refuses(t, &wire::disconnect_with(0, &Props::new()))?;
        super::refuses(t, &[0x00, 0])
    });
    auth(list);
}

fn auth(list: &mut List) {
    list.chapter("3.15 AUTH, 4.12 Enhanced authentication", "auth");
    list.v5("method-unknown", "4.12.0-1 4.13.2-1", "an unknown authentication method closes the connection", |t| {
        let connect = t.hello().props(Props::new().text(property::AUTH_METHOD, "conformance-unknown"));
        let mut client = t.dial()?;
        client.send(&connect.encode(t.version));
        let ending = client.expect_closed("the connection closes")?;
        let code = ending.code.unwrap_or(0x8C);
        client.check([0x8C, 0x87].contains(&code), "reason code 0x8c or 0x87", format!("{code:#04x}"))
    });
    list.v5("none", "4.12.0-6", "without Authentication Method the server does not speak of one", |t| {
        // An AUTH in place of the CONNACK would have failed the connection.
        let (client, _, props) = t.connect_seeing(&t.hello())?;
        let none = !props.has(property::AUTH_METHOD) && !props.has(property::AUTH_DATA);
        client.check(none, "no Authentication Method in the CONNACK", format!("{props:?}"))
    });
    list.v5("unasked", "4.12.0-7 4.13.1-1", "an AUTH without Authentication Method in the CONNECT", |t| {
        closes(t, &wire::auth(0x19, &Props::new().text(property::AUTH_METHOD, "conformance-unknown")))?;
        closes(t, &wire::auth(0x18, &Props::new()))
    });
    list.v5("first", "3.1.0-1", "an AUTH before CONNECT closes the connection", |t| {
        super::refuses(t, &wire::auth(0x18, &Props::new().text(property::AUTH_METHOD, "SCRAM-SHA-256")))
    });
    list.v5("data-without-method", "4.13.1-1", "Authentication Data without a method closes the connection", |t| {
        super::refuses(t, &t.hello().props(Props::new().binary(property::AUTH_DATA, [1])).encode(t.version))
    });
    list.v5(
        "continues",
        "4.12.0-2 4.12.0-5 3.15.2-1",
        "an AUTH of the server continues, with the method of the CONNECT",
        |t| scram_challenge(t).map(|_| ()),
    );
    list.v5("rejected", "4.12.0-4", "a failed authentication closes the connection", |t| {
        let mut client = scram_challenge(t)?;
        let props =
            Props::new().text(property::AUTH_METHOD, "SCRAM-SHA-256").binary(property::AUTH_DATA, *b"c=biws,r=x,p=x");
        client.send(&wire::auth(0x18, &props));
        client.expect_closed("the connection closes").map(|_| ())
    });
    list.v5("other-packet", "4.12.0-4 4.13.1-1", "a PUBLISH within the authentication closes the connection", |t| {
        let mut client = scram_challenge(t)?;
        client.send(&wire::Publish::new(t.topic("t"), "m").encode(t.version));
        client.expect_closed("the connection closes").map(|_| ())
    });
    list.v5("other-method", "4.12.0-5", "another method within the authentication closes the connection", |t| {
        let mut client = scram_challenge(t)?;
        client.send(&wire::auth(0x18, &Props::new().text(property::AUTH_METHOD, "conformance-unknown")));
        client.expect_closed("the connection closes").map(|_| ())
    });
    list.both(
        "credentials",
        "3.2.2-5",
        "3.1.4-2 3.2.2-7",
        "wrong credentials are refused and the connection closed",
        |t| {
            let mut connect = t.hello();
            connect.username = Some(format!("nobody-{}", t.level()));
            connect.password = Some("wrong".into());
            let mut client = t.dial()?;
            client.send(&connect.encode(t.version));
            let incoming = client.next_within(t.options.answer);
            match incoming {
                Incoming::Closed => Ok(()),
                Incoming::Packet(packet) if matches!(packet.body, Body::Connack { code: 0, .. }) => {
                    Err(Stop::Skipped("the server accepts a user that nobody has made".into()))
                }
                Incoming::Packet(packet)
                    if matches!(packet.body, Body::Connack { code: 0x04 | 0x05 | 0x86 | 0x87 | 0x8A, .. }) =>
                {
                    client.expect_closed("the refused connection closes").map(|_| ())
                }
                other => Err(client.unexpected("a CONNACK that refuses the credentials", &other)),
            }
        },
    );
    list.v5("body-cut", "4.13.1-1", "an AUTH that ends inside its properties closes the connection", |t| {
        closes(t, &frame(wire::AUTH, &[0x18, 5, 0x15]))
    });
}

/// Begins SCRAM-SHA-256, the method most likely to be there, and gets the server's challenge.
fn scram_challenge<'t>(t: &'t Target) -> Check<crate::client::Client<'t>> {
    const METHOD: &str = "SCRAM-SHA-256";
    let mut connect = t.hello();
    // A server may refuse a user that it does not know before it asks for anything.
    let first = format!("n,,n={},r=abcdefgh", connect.username.as_deref().unwrap_or("nobody"));
    let props = Props::new().text(property::AUTH_METHOD, METHOD).binary(property::AUTH_DATA, first);
    connect.username = None;
    connect.password = None;
    let mut client = t.dial()?;
    client.send(&connect.props(props).encode(t.version));
    let incoming = client.next_within(t.options.answer);
    match incoming {
        Incoming::Packet(packet) => match &packet.body {
            Body::Auth { code: 0x18, props } if props.string(property::AUTH_METHOD) == Some(METHOD) => Ok(client),
            Body::Connack { code: 0x80.., .. } => {
                Err(Stop::Skipped("the CONNACK refuses SCRAM-SHA-256 as a method, or an unknown user with it".into()))
            }
            _ => Err(client.wrong("an AUTH with reason code 0x18 and the method of the CONNECT", &packet)),
        },
        Incoming::Closed => Err(Stop::Skipped("the server closes on SCRAM-SHA-256".into())),
        other => Err(client.unexpected("an AUTH or a refusal", &other)),
    }
}
