//! A browser of the tests' own, without scripts: cookies, forms, redirects; and a person who uses it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

use crate::mqtt::tls_config;
use crate::server::{Home, Server};

/// Requests to one server, over TLS.
#[derive(Clone)]
pub(crate) struct Web {
    config: Arc<ClientConfig>,
    port: u16,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Web {
    pub(crate) fn new(home: &Home, server: &Server) -> Self {
        let root_pem = std::fs::read_to_string(home.root_certificate()).unwrap();
        let config = tls_config(&root_pem, None);
        Self { config: Arc::new(config), port: server.https }
    }

    /// The address of the server, as its tokens name it.
    pub(crate) fn issuer(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// A connection to a listener of the server, without a certificate of one's own.
    pub(crate) fn tls_stream(&self, port: u16) -> StreamOwned<ClientConnection, TcpStream> {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.config), "localhost".try_into().unwrap()).unwrap();
        StreamOwned::new(connection, socket)
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = self.tls_stream(self.port);
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n", self.port);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(request.as_bytes()).unwrap();
        let mut received = Vec::new();
        // A peer that closes without saying so has said everything all the same.
        let _ = stream.read_to_end(&mut received);
        Answer::parse(&String::from_utf8_lossy(&received))
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request("GET", path, headers, "")
    }

    /// Sends parameters, as programs do.
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
        let headers = [headers, &[("content-type", "application/x-www-form-urlencoded")]].concat();
        self.request("POST", path, &headers, &encode(fields))
    }

    /// The API, with a token.
    pub(crate) fn api(&self, path: &str, token: &str) -> Answer {
        self.get(path, &[("authorization", &format!("Bearer {token}"))])
    }
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Self { status, headers: lines.map(header).collect(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no Location: {self:?}"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A text of the JSON.
    pub(crate) fn text(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {self:?}")).to_owned()
    }

    /// A parameter of the address that the answer leads to.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        parameter(self.location(), name)
    }

    /// The hidden fields of the form that is sent to this path.
    pub(crate) fn form(&self, action: &str) -> Vec<(String, String)> {
        let begin =
            self.body.find(&format!("action=\"{action}\"")).unwrap_or_else(|| panic!("no form {action}: {self:?}"));
        let form = self.body[begin..].split("</form>").next().unwrap();
        let inputs = form.split("<input ").filter(|input| input.starts_with("type=\"hidden\""));
        let attribute = |input: &str, name: &str| {
            let value = input.split_once(&format!("{name}=\"")).unwrap().1;
            unescape(value.split_once('"').unwrap().0)
        };
        inputs.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect()
    }
}

pub(crate) fn parameter(address: &str, name: &str) -> Option<String> {
    let (_, query) = address.split_once('?')?;
    form_pairs(query).into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The parameters of an address.
pub(crate) fn parameters(address: &str) -> Vec<(String, String)> {
    address.split_once('?').map_or_else(Vec::new, |(_, query)| form_pairs(query))
}

fn form_pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(bytes).unwrap()
    };
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

/// Parameters as a query.
pub(crate) fn encode(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        text.bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// A browser: its cookies, and what it sees.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) web: Web,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) fn new(web: &Web) -> Self {
        Self { web: web.clone(), cookies: BTreeMap::new() }
    }

    fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let own = [("cookie", cookies.as_str())];
        let own: &[_] = if cookies.is_empty() { &[] } else { &own };
        let answer = self.web.request(method, path, &[own, headers].concat(), body);
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            assert!(cookie.starts_with("__Host-") && cookie.contains("; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// Sends a form, as it is given.
    pub(crate) fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_from(path, &[], fields)
    }

    /// The same with headers of the browser's.
    pub(crate) fn post_from(&mut self, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
        let headers = [headers, &[("content-type", "application/x-www-form-urlencoded")]].concat();
        self.send("POST", path, &headers, &encode(fields))
    }

    /// Fills in the form of a page, and sends it.
    pub(crate) fn submit(&mut self, page: &Answer, action: &str, fields: &[(&str, &str)]) -> Answer {
        let hidden = page.form(action);
        let hidden = hidden.iter().filter(|(name, _)| !fields.iter().any(|(given, _)| given == name));
        let hidden: Vec<_> = hidden.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post(action, &[hidden.as_slice(), fields].concat())
    }

    /// Goes where the answer leads, as long as that is on this server.
    pub(crate) fn follow(&mut self, answer: Answer) -> Answer {
        let mut answer = answer;
        while answer.status == 303 && answer.location().starts_with('/') {
            let path = answer.location().to_owned();
            answer = self.get(&path);
        }
        answer
    }

    /// Goes to a page and on to where that leads.
    pub(crate) fn open(&mut self, path: &str) -> Answer {
        let answer = self.get(path);
        self.follow(answer)
    }

    /// Makes an account, with the code of the mail, and is signed in then.
    pub(crate) fn sign_up(&mut self, home: &Home, email: &str) -> Answer {
        let page = self.open("/account/sign-up");
        let page = self.submit(&page, "/account/sign-up", &[("email", email), ("password", PASSWORD)]);
        assert_eq!(page.status, 200, "{page:?}");
        let code = mail_code(&home.data_dir(), email);
        let answer = self.submit(&page, "/account/verify", &[("code", &code)]);
        assert_eq!(answer.status, 303, "{answer:?}");
        answer
    }

    pub(crate) fn sign_in(&mut self, page: &Answer, email: &str) -> Answer {
        self.submit(page, "/account/sign-in", &[("email", email), ("password", PASSWORD)])
    }
}

pub(crate) const PASSWORD: &str = "mauve pelican drums softly";

/// The code of the newest mail to an address.
pub(crate) fn mail_code(data_dir: &Path, email: &str) -> String {
    let mail = mail_to(data_dir, email, "Your code");
    let code =
        mail.lines().map(str::trim).find(|line| line.len() == 8 && line.bytes().all(|byte| byte.is_ascii_digit()));
    code.unwrap_or_else(|| panic!("no code in {mail}")).to_owned()
}

/// Waits for a mail to an address with this in its text; the newest counts.
pub(crate) fn mail_to(data_dir: &Path, email: &str, text: &str) -> String {
    let began = Instant::now();
    loop {
        let mut mails: Vec<_> = std::fs::read_dir(data_dir.join("outbox"))
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        mails.sort();
        let mails = mails.iter().filter(|path| path.extension().is_some_and(|extension| extension == "eml"));
        let mut mails = mails.filter_map(|path| std::fs::read_to_string(path).ok());
        if let Some(mail) = mails.rfind(|mail| mail.contains(email) && mail.contains(text)) {
            return mail;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "no mail to {email} with {text:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
