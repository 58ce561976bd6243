//! The certificate of the public HTTPS name: from files, and from an ACME server (Pebble, Let's Encrypt's own for tests).

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{Home, Server, text};

const NAME: &str = "broker.example.test";

/// Runs a script beside a home's data: what it says, however it ends.
fn run(home: &Home, script: &str) -> String {
    let output =
        Command::new("bash").args(["-uo", "pipefail", "-c", script]).current_dir(home.path()).output().unwrap();
    text(&output)
}

/// What the server shows to a client that asks for this name: issuer and serial number.
fn shown(home: &Home, server: &Server, name: &str) -> String {
    let port = server.https;
    run(
        home,
        &format!(
            "openssl s_client -connect 127.0.0.1:{port} -servername {name} </dev/null 2>/dev/null | openssl x509 -noout -issuer -serial"
        ),
    )
}

/// Makes `public.pem` and `public.key` for a name.
fn make_files(home: &Home, name: &str) {
    let said = run(
        home,
        &format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout public.key -out public.pem \
             -subj '/CN=A public authority' -addext subjectAltName=DNS:{name} 2>/dev/null || echo failed"
        ),
    );
    assert!(!said.contains("failed"), "{said}");
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(90);
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within 90 seconds");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn files_are_shown_for_their_names_and_read_again_when_they_change() {
    let home =
        Home::with("[public_certificate]\ncertificate_file = \"public.pem\"\nprivate_key_file = \"public.key\"\n");
    make_files(&home, NAME);
    let server = home.start();
    let first = shown(&home, &server, NAME);
    assert!(first.contains("A public authority"), "{first}");
    assert!(shown(&home, &server, &NAME.to_uppercase()).contains("A public authority"), "DNS names have no case");
    let port = server.https;
    let own = run(
        &home,
        &format!("curl --silent --show-error --cacert data/ca.pem https://localhost:{port}/api/openapi.json"),
    );
    assert!(own.contains("openapi"), "those who trust our authority ask for its names: {own}");
    let both = run(
        &home,
        &format!(
            "curl --silent --show-error --cacert public.pem --resolve {NAME}:{port}:127.0.0.1 https://{NAME}:{port}/api/openapi.json"
        ),
    );
    assert!(both.contains("openapi"), "{both}");

    // A key that does not fit changes nothing.
    std::fs::rename(home.path().join("public.key"), home.path().join("right.key")).unwrap();
    run(&home, "openssl ecparam -name prime256v1 -genkey -noout -out public.key");
    assert!(Command::new("kill").args(["-HUP", &server.pid().to_string()]).status().unwrap().success());
    make_files(&home, NAME);
    assert!(Command::new("kill").args(["-HUP", &server.pid().to_string()]).status().unwrap().success());
    until("the new certificate", || {
        let now = shown(&home, &server, NAME);
        assert!(now.contains("A public authority"), "one of the two, at any time: {now}");
        now != first
    });
}

#[test]
fn a_start_with_files_that_do_not_fit_says_so() {
    let home =
        Home::with("[public_certificate]\ncertificate_file = \"public.pem\"\nprivate_key_file = \"public.key\"\n");
    make_files(&home, NAME);
    run(&home, "openssl ecparam -name prime256v1 -genkey -noout -out public.key");
    let output = home.command(&["run"]).stdout(Stdio::null()).output().unwrap();
    let said = text(&output);
    assert!(!output.status.success() && said.contains("public.pem with public.key"), "{said}");
    assert!(said.contains("does not fit the certificate"), "{said}");
}

#[test]
fn an_acme_server_gives_the_certificate_and_a_restart_keeps_it() {
    let (acme, dns) = (free_tcp_port(), free_udp_port());
    let home = Home::with(&format!(
        "[public_certificate]\nacme_domains = [\"{NAME}\"]\nacme_terms_agreed = true\nacme_root_file = \"acme.pem\"\n\
         acme_directory = \"https://127.0.0.1:{acme}/dir\"\n"
    ));
    let said = run(
        &home,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout acme.key -out acme.pem -subj /CN=acme \
         -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE 2>/dev/null || echo failed",
    );
    assert!(!said.contains("failed"), "{said}");
    let server = home.start();
    let before = shown(&home, &server, NAME);
    assert!(before.contains("Mooring"), "until the public one is there, ours is shown: {before}");

    let peers = [start_dns(&home, dns), start_pebble(&home, acme, dns, server.https)];
    until("a certificate of the ACME server", || shown(&home, &server, NAME).contains("Pebble"));
    let public = shown(&home, &server, NAME);
    assert!(shown(&home, &server, "localhost").contains("Mooring"), "other names keep our own");
    let port = server.https;
    let said = run(
        &home,
        &format!("openssl s_client -connect 127.0.0.1:{port} -servername {NAME} -alpn acme-tls/1 </dev/null 2>&1"),
    );
    assert!(!said.contains("BEGIN CERTIFICATE"), "without an open challenge nobody validates: {said}");
    for file in ["account.json", "key.pem"] {
        let mode = run(&home, &format!("stat -c %a data/acme data/acme/{file}"));
        assert_eq!(mode, "700\n600\n", "{file} is for nobody else");
    }
    drop(peers);
    assert!(server.terminate().success());
    let server = home.start();
    until("the certificate on disk", || shown(&home, &server, NAME) == public);
}

/// A process of others', ended with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A DNS server that answers every name with 127.0.0.1.
fn start_dns(home: &Home, port: u16) -> Peer {
    let none = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-management", "", "-defaultIPv6", ""];
    start(home, Command::new("pebble-challtestsrv").args(none).args(["-dns01", &format!("127.0.0.1:{port}")]))
}

/// An ACME server that validates on `tls_port`.
fn start_pebble(home: &Home, port: u16, dns: u16, tls_port: u16) -> Peer {
    let config = serde_json::json!({ "pebble": {
        "listenAddress": format!("127.0.0.1:{port}"), "managementListenAddress": "", "certificate": "acme.pem", "privateKey": "acme.key",
        "httpPort": 1, "tlsPort": tls_port, "ocspResponderURL": "", "externalAccountBindingRequired": false,
    }});
    std::fs::write(home.path().join("pebble.json"), config.to_string()).unwrap();
    let mut command = Command::new("pebble");
    command.args(["-config", "pebble.json", "-strict", "-dnsserver", &format!("127.0.0.1:{dns}")]);
    start(home, command.env("PEBBLE_VA_NOSLEEP", "1"))
}

fn start(home: &Home, command: &mut Command) -> Peer {
    let child = command.current_dir(home.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Peer(child.expect("pebble is installed: scripts/setup test"))
}

/// A port that was free a moment ago: these programs do not say which one they took.
fn free_tcp_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn free_udp_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
