//! CRL and OCSP of a running server, as `curl` fetches and `openssl` judges them.

use std::process::Command;

use crate::server::{Home, MOORING, Server, text};

/// Runs a script beside a home's data, with `$API` and `$STATUS` for the server's listeners: what it says, however it ends.
fn run(home: &Home, server: &Server, script: &str) -> String {
    let path =
        format!("{}:{}", std::path::Path::new(MOORING).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(home.path())
        .env("PATH", path)
        .env("API", format!("https://localhost:{}", server.https))
        .env("ADMIN", format!("127.0.0.1:{}", server.admin))
        .output()
        .unwrap();
    text(&output)
}

/// Two certificates: `good.pem`, and `bad.pem`, which is revoked.
fn issue_and_revoke(home: &Home, server: &Server) {
    for name in ["good", "bad"] {
        home.enrol(server, &home.make_device(), name);
    }
    let revoked = run(
        home,
        server,
        "mooring ca revoke --admin $ADMIN --reason superseded \
         --serial $(openssl x509 -in bad.pem -noout -serial | cut -d= -f2)",
    );
    assert!(revoked.contains("superseded"), "{revoked}");
}

#[test]
fn openssl_verifies_the_list_and_refuses_what_is_on_it_at_once() {
    let home = Home::new();
    let server = home.start();
    let fetch = "curl --silent --fail-with-body --cacert data/ca.pem $API/.well-known/crl/devices.crl -o devices.crl; \
                 curl --silent --fail-with-body --cacert data/ca.pem $API/.well-known/crl/devices.pem -o crl.pem; \
                 curl --silent --fail-with-body --cacert data/ca.pem $API/.well-known/ca/devices.cer -o devices.cer; \
                 openssl x509 -inform DER -in devices.cer -out devices.pem; cat devices.pem data/ca.pem > both.pem; ";
    // The list of before the revocation is not what is served after it.
    run(&home, &server, fetch);
    issue_and_revoke(&home, &server);
    let said = run(
        &home,
        &server,
        &format!(
            "{fetch} openssl crl -inform DER -in devices.crl -CAfile both.pem -noout -text; \
             openssl verify -crl_check -CRLfile crl.pem -CAfile data/ca.pem -untrusted devices.pem good.pem; \
             openssl verify -crl_check -CRLfile crl.pem -CAfile data/ca.pem -untrusted devices.pem bad.pem || true"
        ),
    );
    assert!(said.contains("verify OK") && said.contains("Superseded") && said.contains("Next Update"), "{said}");
    assert!(said.contains("good.pem: OK") && said.contains("bad.pem: verification failed"), "{said}");
    assert!(said.contains("certificate revoked"), "{said}");
    for name in ["clients.crl", "servers.crl"] {
        let said = run(
            &home,
            &server,
            &format!(
                "curl --silent --fail --cacert data/ca.pem $API/.well-known/crl/{name} | openssl crl -inform DER -noout -text"
            ),
        );
        assert!(said.contains("No Revoked Certificates"), "{said}");
    }
    let said = run(&home, &server, "curl --silent --cacert data/ca.pem $API/.well-known/crl/root.crl");
    assert!(said.contains("/problems/not-found"), "{said}");
}

#[test]
fn openssl_accepts_good_revoked_and_unknown_by_post_and_get() {
    let home = Home::new();
    let server = home.start();
    issue_and_revoke(&home, &server);
    run(
        &home,
        &server,
        "curl --silent --fail --cacert data/ca.pem $API/.well-known/ca/devices.cer | openssl x509 -inform DER -out devices.pem",
    );
    let verify = "openssl ocsp -no_nonce -issuer devices.pem -respin answer.der -CAfile data/ca.pem";
    let post = "curl --silent --fail --cacert data/ca.pem -H 'content-type: application/ocsp-request' --data-binary @request.der $API/ocsp -o answer.der";
    let get = "curl --silent --fail --cacert data/ca.pem \"$API/ocsp/$(openssl base64 -A -in request.der | sed 's/+/%2B/g; s/=/%3D/g; s,/,%2F,g')\" -o answer.der";
    for (what, says) in [("-cert good.pem", ": good"), ("-cert bad.pem", ": revoked"), ("-serial 0x1234", ": unknown")]
    {
        for ask in [post, get] {
            let script = format!("openssl ocsp -issuer devices.pem {what} -reqout request.der; {ask}; {verify} {what}");
            let said = run(&home, &server, &script);
            assert!(said.contains("Response verify OK") && said.contains(says), "{what}: {said}");
        }
    }
    let said = run(
        &home,
        &server,
        "openssl ocsp -issuer data/ca.pem -serial 1 -reqout request.der; \
         curl --silent --fail --cacert data/ca.pem --data-binary @request.der $API/ocsp -o answer.der; \
         openssl ocsp -respin answer.der -noverify || true; echo nonsense > request.der; \
         curl --silent --fail --cacert data/ca.pem --data-binary @request.der $API/ocsp -o answer.der; \
         openssl ocsp -respin answer.der -noverify || true",
    );
    assert!(said.contains("unauthorized (6)") && said.contains("malformedrequest (1)"), "{said}");
}

#[test]
fn with_a_public_url_openssl_finds_its_way_from_the_certificate() {
    // Certificates name the port, so it has to be known before the start.
    let status = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let home = Home::with(&format!(
        "[certificates]\nstatus_bind = \"127.0.0.1:{status}\"\npublic_url = \"http://127.0.0.1:{status}\"\n"
    ));
    let server = home.start();
    issue_and_revoke(&home, &server);
    let said = run(
        &home,
        &server,
        "curl --silent --fail $(openssl x509 -in good.pem -noout -text | grep -o 'http://.*cer') | openssl x509 -inform DER -out devices.pem; \
         for name in good bad; do \
           openssl ocsp -issuer devices.pem -cert $name.pem -url $(openssl x509 -in $name.pem -noout -ocsp_uri) -CAfile data/ca.pem; \
           openssl verify -crl_check -crl_download -CAfile data/ca.pem -untrusted devices.pem $name.pem || true; \
         done",
    );
    for expected in ["good.pem: good", "bad.pem: revoked", "good.pem: OK", "certificate revoked"] {
        assert!(said.contains(expected), "no {expected}: {said}");
    }
    assert!(!said.contains("Verify error") && !said.contains("Nonce Verify"), "{said}");
    let said = run(&home, &server, &format!("curl --silent http://127.0.0.1:{status}/v1/devices"));
    assert!(said.contains("/problems/not-found"), "nothing else is there: {said}");
}
