//! People of the tests: each has a token, and speaks to the API with `curl`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::{Device, Home, Server, text};

/// Somebody with a token.
pub(crate) struct Person<'a> {
    pub(crate) home: &'a Home,
    pub(crate) server: &'a Server,
    pub(crate) token: String,
    pub(crate) token_id: String,
}

/// All that a person's token may have.
const SCOPES: &str = "devices:read,devices:write,commands:send,account";

/// What the API said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            line.split_once(": ").filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        })
    }

    /// The body, when the status is this one; else the test fails and shows it.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

impl<'a> Person<'a> {
    /// Makes an account with a token.
    pub(crate) fn new(home: &'a Home, server: &'a Server, name: &str) -> Self {
        home.run(&["user", "create", name]);
        Self::with_token(home, server, &home.run(&["token", "create", "--user", name, "--scope", SCOPES]))
    }

    pub(crate) fn operator(home: &'a Home, server: &'a Server) -> Self {
        Self::with_token(home, server, &home.run(&["token", "create", "--operator"]))
    }

    fn with_token(home: &'a Home, server: &'a Server, made: &str) -> Self {
        let token = made.lines().next().unwrap().to_owned();
        Self { home, server, token, token_id: made.split_whitespace().last().unwrap().to_owned() }
    }

    /// The same address with a token that is none.
    pub(crate) fn nobody(home: &'a Home, server: &'a Server) -> Self {
        Self { home, server, token: String::new(), token_id: String::new() }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None, &[])
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, None, &[])
    }

    #[expect(clippy::needless_pass_by_value, reason = "a test writes the body in place")]
    pub(crate) fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(&body.to_string()), &["Content-Type: application/json"])
    }

    #[expect(clippy::needless_pass_by_value, reason = "a test writes the body in place")]
    pub(crate) fn patch(&self, path: &str, body: Value) -> Answer {
        self.call("PATCH", path, Some(&body.to_string()), &["Content-Type: application/json"])
    }

    /// One request.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&str>, headers: &[&str]) -> Answer {
        let mut curl = self.curl(path);
        curl.args(["-X", method, "-D", "-", "--max-time", "60"]);
        curl.args(headers.iter().flat_map(|header| ["-H", header]));
        if let Some(body) = body {
            curl.args(["--data-binary", body]);
        }
        let output = curl.output().unwrap();
        assert!(output.status.success(), "{method} {path}: {}", text(&output));
        let said = String::from_utf8(output.stdout).unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or(Value::Null) }
    }

    fn curl(&self, path: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--path-as-is", "--cacert"]).arg(self.home.root_certificate());
        if !self.token.is_empty() {
            curl.args(["-H", &format!("Authorization: Bearer {}", self.token)]);
        }
        curl.arg(format!("https://localhost:{}{path}", self.server.https));
        curl
    }

    pub(crate) fn claim(&self, device: &Device) -> Value {
        let body = serde_json::json!({"device_id": device.id, "claim_code": device.claim_code});
        self.post("/v1/claims", body).expect(201)
    }

    /// Invites to a device; gives the code.
    pub(crate) fn invite(&self, device: &Device, invite: Value) -> String {
        let made = self.post(&format!("/v1/devices/{}/invites", device.id), invite).expect(201);
        made["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn accept(&self, code: &str) -> Value {
        self.post("/v1/invites/acceptance", serde_json::json!({"code": code})).expect(201)
    }

    /// Asks until the answer is as wanted.
    pub(crate) fn wait_for(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let answer = self.get(path);
            if wanted(&answer.body) {
                return answer.body;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{path}: {answer:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Opens the stream, and waits until it is open.
    pub(crate) fn watch(&self, last_event_id: Option<&str>) -> Stream {
        let mut curl = self.curl("/v1/stream");
        curl.arg("--no-buffer");
        if let Some(last) = last_event_id {
            curl.args(["-H", &format!("Last-Event-ID: {last}")]);
        }
        Stream::of(curl)
    }
}

/// An event of a stream.
#[derive(Clone, Debug)]
pub(crate) struct StreamEvent {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

/// A stream of server-sent events; it ends with the test.
pub(crate) struct Stream {
    child: Child,
    events: Receiver<StreamEvent>,
}

impl Stream {
    fn of(mut curl: Command) -> Self {
        let mut child = curl.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, events) = mpsc::channel();
        std::thread::spawn(move || {
            let mut event = StreamEvent { id: String::new(), kind: String::new(), data: Value::Null };
            for line in lines.map_while(Result::ok) {
                match line.split_once(": ") {
                    Some(("id", id)) => id.clone_into(&mut event.id),
                    Some(("event", kind)) => kind.clone_into(&mut event.kind),
                    Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                    _ if line.is_empty() && !event.kind.is_empty() => {
                        let _ = sender.send(event.clone());
                        event.kind.clear();
                    }
                    _ => {}
                }
            }
        });
        Self { child, events }
    }

    /// The next event; the test fails when none comes.
    #[track_caller]
    pub(crate) fn next(&self) -> StreamEvent {
        self.events.recv_timeout(Duration::from_secs(30)).expect("an event of the stream")
    }

    /// Whether it opens: a stream that is refused ends without an event.
    pub(crate) fn opens(&self) -> bool {
        self.events.recv_timeout(Duration::from_secs(30)).is_ok_and(|event| event.kind == "open")
    }

    /// The next event of this kind.
    #[track_caller]
    pub(crate) fn next_of(&self, kind: &str) -> StreamEvent {
        loop {
            let event = self.next();
            if event.kind == kind {
                return event;
            }
        }
    }

    /// All events until the stream has ended by the server's word, and the time until then.
    #[track_caller]
    pub(crate) fn end(&mut self) -> (Vec<StreamEvent>, Duration) {
        let began = Instant::now();
        let mut events = Vec::new();
        loop {
            match self.events.recv_timeout(Duration::from_secs(30)) {
                Ok(event) => events.push(event),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the stream goes on: {events:?}"),
            }
        }
        let took = began.elapsed();
        self.child.wait().unwrap();
        (events, took)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A time in an hour, as the API reads it.
pub(crate) fn in_an_hour() -> String {
    let at = time::OffsetDateTime::now_utc() + time::Duration::HOUR;
    at.format(&time::format_description::well_known::Rfc3339).unwrap()
}
