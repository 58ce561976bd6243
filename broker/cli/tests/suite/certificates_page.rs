//! docs/certificates.md, run as it stands there. `openssl` plays the company and the manufacturer.

use crate::server::{Home, text};
use crate::tutorial::{bash, commands};

/// The company signs the three requests, and gives each with its root.
const COMPANY_SIGNS: &str = "
openssl ecparam -name prime256v1 -genkey -noout -out company.key
openssl req -x509 -new -key company.key -subj /O=Company/CN=Root -days 3650 -addext keyUsage=critical,keyCertSign,cRLSign -out company.pem
printf 'basicConstraints=critical,CA:TRUE,pathlen:0\\nkeyUsage=critical,keyCertSign,cRLSign\\nsubjectKeyIdentifier=hash\\nauthorityKeyIdentifier=keyid\\n' > ext
for role in devices clients servers; do
    openssl x509 -req -in data/ca/$role.csr -CA company.pem -CAkey company.key -set_serial 0x$(openssl rand -hex 15) -days 365 -sha256 -extfile ext -out $role.pem
    cat $role.pem company.pem > $role-chain.pem
done
";

/// The manufacturer has an authority, and a list of what it took back.
const MAKER_EXISTS: &str = "
openssl ecparam -name prime256v1 -genkey -noout -out maker.key
openssl req -x509 -new -key maker.key -subj '/O=Chip maker/CN=Root' -days 3650 -addext keyUsage=critical,keyCertSign,cRLSign -out maker-root.pem
touch index.txt; echo 01 > crlnumber
printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index.txt\\ncrlnumber=crlnumber\\ndefault_md=sha256\\ndefault_crl_days=30\\n' > crl.cnf
openssl ca -config crl.cnf -keyfile maker.key -cert maker-root.pem -gencrl -out maker.crl
";

#[test]
fn the_commands_of_the_page_work_as_they_stand() {
    let home = Home::new();
    let blocks = commands(include_str!("../../../../docs/certificates.md"));
    let [external, import, trust, crl, audit] = blocks.as_slice() else {
        panic!("five blocks of commands: {blocks:?}")
    };
    let run = |script: &str, expected: &[&str]| {
        let output = bash(&home, 0, script);
        let said = text(&output);
        assert!(output.status.success(), "{script}: {said}");
        for expected in expected {
            assert!(said.contains(expected), "no {expected:?} in {said}");
        }
    };
    run(external, &["devices.csr", "clients.csr", "servers.csr"]);
    run(COMPANY_SIGNS, &[]);
    let early = home.command(&["run"]).output().unwrap();
    assert!(!early.status.success(), "without the chains no server starts");
    run(import, &["The authority is whole"]);
    let server = home.start();
    home.enrol(&server, &home.make_device(), "device");
    run("openssl verify -CAfile company.pem -untrusted device.pem device.pem", &["device.pem: OK"]);
    run(MAKER_EXISTS, &[]);
    run(trust, &["Chip maker", "chips"]);
    run(crl, &["0 certificates of"]);
    run(audit, &["certificate.issue", "manufacturer.trust", "each fits the one before it"]);
}
