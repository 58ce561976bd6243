//! Chapter 4.12 with a user that the server knows: SCRAM-SHA-256 to its end, and once more on the same connection.

use super::List;
use crate::case::{Check, Stop};
use crate::client::Client;
use crate::decode::{Body, Packet};
use crate::options::Credentials;
use crate::property::{self, Props};
use crate::scram::Scram;
use crate::target::Target;
use crate::wire;

const METHOD: &str = "SCRAM-SHA-256";
const CONTINUE: u8 = 0x18;
const AGAIN: u8 = 0x19;

pub(super) fn list(list: &mut List) {
    list.chapter("4.12 Enhanced authentication, with a user", "scram");
    list.v5("login", "4.12.0-2 4.12.0-5", "the CONNACK that lets in has the method and the server's proof", |t| {
        let mut client = log_in(t, user(t)?)?;
        client.publish(&t.topic("t"), "m", 0)?;
        client.ping()
    });
    list.v5("wrong-password", "4.12.0-4", "a wrong proof is refused and the connection closed", |t| {
        let user = user(t)?;
        let wrong = Credentials { password: format!("{}?", user.password), ..user.clone() };
        let (mut client, answer) = begin(t, &wrong)?;
        client.send(&auth(CONTINUE, &answer.message));
        client.expect_closed("the connection closes").map(|_| ())
    });
    list.v5(
        "again",
        "4.12.1-2 3.15.2-1",
        "a client that authenticates again stays, and is answered with success",
        |t| {
            let user = user(t)?;
            let mut client = log_in(t, user)?;
            let answer = again(t, &mut client, user)?;
            client.send(&auth(CONTINUE, &answer.message));
            let packet = client.next_reply("an AUTH with reason code 0x00")?;
            expect_proof(&client, &packet, 0, &answer.server_final)?;
            client.publish(&t.topic("t"), "m", 0)?;
            client.ping()
        },
    );
    list.v5("again-meanwhile", "4.12.1-2", "what is published while a client authenticates again is served", |t| {
        let user = user(t)?;
        let topic = t.topic("t");
        let mut client = log_in(t, user)?;
        let codes = client.subscribe_all(&Props::new(), &[(&topic, 0)])?;
        if codes.iter().any(|code| *code >= 0x80) {
            return Err(Stop::Skipped("the user may not subscribe".into()));
        }
        let answer = again(t, &mut client, user)?;
        client.publish(&topic, "meanwhile", 0)?;
        client.expect_message("meanwhile")?;
        client.send(&auth(CONTINUE, &answer.message));
        let packet = client.next_reply("an AUTH with reason code 0x00")?;
        expect_proof(&client, &packet, 0, &answer.server_final)
    });
    list.v5("again-wrong", "4.12.1-2", "who fails to authenticate again is cut off", |t| {
        let user = user(t)?;
        let mut client = log_in(t, user)?;
        let wrong = Credentials { password: format!("{}?", user.password), ..user.clone() };
        let answer = again(t, &mut client, &wrong)?;
        client.send(&auth(CONTINUE, &answer.message));
        client.expect_closed_for("the connection closes", &[0x87, 0x80, 0x82, 0x83])
    });
    list.v5("again-other-method", "4.13.1-1", "another method for it closes the connection", |t| {
        let mut client = log_in(t, user(t)?)?;
        client.send(&wire::auth(AGAIN, &Props::new().text(property::AUTH_METHOD, "conformance-unknown")));
        client.expect_closed_for("the connection closes", &[0x82, 0x8C])
    });
}

fn user<'t>(t: &Target<'t>) -> Check<&'t Credentials> {
    let none = || Stop::Skipped("the run was given no user for SCRAM-SHA-256".into());
    t.options.scram.as_ref().ok_or_else(none)
}

/// Goes through it, and checks what the server shows.
fn log_in<'t>(t: &'t Target<'t>, user: &Credentials) -> Check<Client<'t>> {
    let (mut client, answer) = begin(t, user)?;
    client.send(&auth(CONTINUE, &answer.message));
    let packet = client.next("a CONNACK that accepts")?;
    expect_proof(&client, &packet, 0, &answer.server_final)?;
    Ok(client)
}

/// CONNECT, and the answer to the challenge, not yet sent.
fn begin<'t>(t: &'t Target<'t>, user: &Credentials) -> Check<(Client<'t>, crate::scram::Answer)> {
    let scram = Scram::new(&user.name, &user.password, &t.level());
    let props = Props::new().text(property::AUTH_METHOD, METHOD).binary(property::AUTH_DATA, scram.first());
    let mut connect = t.hello().props(props);
    (connect.username, connect.password) = (None, None);
    let mut client = t.dial()?;
    client.send(&connect.encode(t.version));
    let packet = client.next("an AUTH that continues")?;
    let answer = answer(&client, &scram, &packet)?;
    Ok((client, answer))
}

/// Begins it again, up to the same point.
fn again(t: &Target, client: &mut Client<'_>, user: &Credentials) -> Check<crate::scram::Answer> {
    let scram = Scram::new(&user.name, &user.password, &t.level());
    client.send(&auth(AGAIN, &scram.first()));
    let packet = client.next_reply("an AUTH that continues")?;
    answer(client, &scram, &packet)
}

fn answer(client: &Client<'_>, scram: &Scram, packet: &Packet) -> Check<crate::scram::Answer> {
    const EXPECTED: &str = "an AUTH with reason code 0x18, the method of the CONNECT, and a challenge";
    let Body::Auth { code: CONTINUE, props } = &packet.body else { return Err(client.wrong(EXPECTED, packet)) };
    let challenge = props.bytes(property::AUTH_DATA).and_then(|data| std::str::from_utf8(data).ok());
    let challenge = challenge.filter(|_| props.string(property::AUTH_METHOD) == Some(METHOD));
    let Some(challenge) = challenge else { return Err(client.wrong(EXPECTED, packet)) };
    scram.answer(challenge).map_err(|why| client.wrong(format!("{EXPECTED}, without {why}"), packet))
}

/// The CONNACK or AUTH that ends it: success, the same method, and the proof that the server knows the password, too.
fn expect_proof(client: &Client<'_>, packet: &Packet, code: u8, proof: &str) -> Check {
    let (came, props) = match &packet.body {
        Body::Connack { code, props, .. } | Body::Auth { code, props } => (*code, props),
        _ => return Err(client.wrong("the end of the authentication", packet)),
    };
    let is_whole = came == code
        && props.string(property::AUTH_METHOD) == Some(METHOD)
        && props.bytes(property::AUTH_DATA) == Some(proof.as_bytes());
    if is_whole { Ok(()) } else { Err(client.wrong(format!("reason code {code}, {METHOD} and {proof}"), packet)) }
}

fn auth(reason: u8, data: &str) -> Vec<u8> {
    wire::auth(reason, &Props::new().text(property::AUTH_METHOD, METHOD).binary(property::AUTH_DATA, data))
}
