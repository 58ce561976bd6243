//! Every setting, declared once: its key, what it does, its default, and how a value becomes part of the configuration.

use std::path::PathBuf;

use mooring_auth::DevicePasswordPolicy;
use mooring_core::SharedStrategy;
use mooring_log::Durability;
use mooring_protocol::TopicFilterBuf;
use mooring_server::{Network, NetworkError};

use super::value::Value;
use super::{ClientCertificate, Config, Kind, Listener, SmtpSecurity};

/// One setting of `T`.
pub(super) struct Setting<T> {
    /// The key with its section: `limits.packet_size_max`.
    pub(super) key: &'static str,
    /// What it does, for the example configuration.
    pub(super) help: &'static str,
    /// The default as it is written in the file; empty when there is none.
    pub(super) default: &'static str,
    /// Sets it, or says why not.
    pub(super) set: fn(&mut T, &Value) -> Result<(), String>,
}

macro_rules! settings {
    ($kind:ty: $($key:literal = $default:literal, $help:literal, |$target:ident, $value:ident| $body:expr;)*) => {
        &[$(Setting { key: $key, help: $help, default: $default, set: |$target: &mut $kind, $value: &Value| { $body; Ok(()) } },)*]
    };
}

/// Settings of the whole configuration, in the order in which the example shows them.
pub(super) const SETTINGS: &[Setting<Config>] = settings! { Config:
    "data_dir" = "\"./data\"", "Where everything is kept: the certificate authority, the database, the log. One process at a time.",
        |config, value| config.data_dir = PathBuf::from(value.text()?);
    "durability" = "\"fsync\"", "When an acknowledgement is sent: \"fsync\" once the record is on disk, \"os\" once the operating system has it (a power cut may lose it), \"memory\" at once (nothing is kept).",
        |config, value| config.durability = value.choice(&[("fsync", Durability::Fsync), ("os", Durability::Os), ("memory", Durability::Memory)])?;

    "server.shards" = "\"auto\"", "Threads that serve clients: \"auto\" is one a core.",
        |config, value| if value.text().ok().as_deref() != Some("auto") { config.server.shards = number(value, 1, 256)? };
    "server.pin" = "false", "Whether each of these threads stays on a core: true is one of those that the process may use, in turn; a list such as [2, 3] names them. For machines that do little else.",
        |config, value| config.server.pin = value.pinning()?;
    "server.names" = "[\"localhost\", \"127.0.0.1\", \"::1\"]", "DNS names and addresses in the server's own certificate: those by which devices and people reach it.",
        |config, value| config.server.names = value.list()?;
    "server.trust_domain" = "\"mooring.local\"", "The trust domain of the SPIFFE ids that the authority gives. Fixed once the data directory is made.",
        |config, value| config.server.trust_domain = value.text()?;
    "server.organisation" = "\"Mooring\"", "The organisation named in the authority's certificates. Fixed once the data directory is made.",
        |config, value| config.server.organisation = value.text()?;

    "http.bind" = "\"0.0.0.0:8443\"", "The HTTPS listener: API, certificate signing, MQTT over WebSocket at /mqtt.",
        |config, value| config.http.bind = value.address()?;
    "http.connections_max" = "1024", "HTTPS connections at a time. Further ones wait to be accepted.",
        |config, value| config.http.connections_max = number(value, 1, 1_000_000)?;
    "http.header_timeout_ms" = "10000", "Time for a request's head to arrive, and for a TLS handshake.",
        |config, value| config.http.header_timeout_ms = number(value, 100, 600_000)?;
    "http.body_bytes_max" = "262144", "Largest request body. A larger one: 413.",
        |config, value| config.http.body_bytes_max = number(value, 1024, 64 * 1024 * 1024)?;
    "http.body_timeout_ms" = "10000", "Time for a request's body to arrive. A slower one: 408.",
        |config, value| config.http.body_timeout_ms = number(value, 100, 600_000)?;
    "http.json_depth_max" = "32", "How deep JSON in a request may be nested. Deeper: 400.",
        |config, value| config.http.json_depth_max = number(value, 4, 100)?;
    "http.requests_per_address" = "12000", "Requests a minute from one address (of IPv6: from one /64). More: 429.",
        |config, value| config.http.requests_per_address = number(value, 1, 10_000_000)?;
    "http.requests_per_token" = "6000", "Requests a minute with one token. More: 429.",
        |config, value| config.http.requests_per_token = number(value, 1, 10_000_000)?;
    "http.proxy_protocol_from" = "[]", "As of a listener below: addresses of proxies that send a PROXY protocol header (version 2) before TLS.",
        |config, value| config.http.proxy_protocol_from = networks(value)?;
    "http.cors_origins" = "[]", "Origins whose pages may read answers, such as [\"https://app.example.com\"]. The server's own pages need none.",
        |config, value| config.http.cors_origins = origins(value)?;

    "claims.power_on_minutes" = "0", "A device can be claimed only so long after it was switched on and came online; 0: at any time.",
        |config, value| config.claims.power_on_minutes = number(value, 0, 100_000)?;
    "claims.code_days" = "0", "How long a claim code is good after it was made; 0: for ever.",
        |config, value| config.claims.code_days = number(value, 0, 36_500)?;
    "claims.code_works_again" = "true", "Whether the code, which is printed on the device, works again once its owner has given it up. Otherwise an operator makes a new one.",
        |config, value| config.claims.code_works_again = value.boolean()?;
    "claims.device_password" = "false", "Whether a claim makes a password with which the device can connect (user name: its id), on listeners with allow_password.",
        |config, value| config.claims.device_password = value.boolean()?;
    "claims.endpoint" = "", "Where devices connect to, as a claim tells it, such as \"mqtts://mqtt.example.com:8883\". Without it: the first name of the server and its first MQTT listener.",
        |config, value| config.claims.endpoint = Some(endpoint(value)?);

    "admin.bind" = "\"127.0.0.1:9090\"", "Metrics, health and the operator's interface. Loopback only.",
        |config, value| config.admin.bind = value.address()?;

    "database.url" = "", "\"postgres://user:password@host/name\" or \"sqlite:///path\". Without it: SQLite in the data directory.",
        |config, value| config.database_url = Some(database_url(value)?);
    "database.ingest_url" = "", "The same database by the role that stores events, such as mooring_ingest: see docs/database.md. Without it: database.url.",
        |config, value| config.database_roles.ingest_url = Some(database_url(value)?);
    "database.read_url" = "", "The same by the role that reads, such as mooring_read: for `mooring audit`, `mooring factory stations`. Without it: database.url.",
        |config, value| config.database_roles.read_url = Some(database_url(value)?);
    "database.migrate_url" = "", "The same by its owner, for `mooring db`; the server never uses it. Without it: database.url.",
        |config, value| config.database_roles.migrate_url = Some(database_url(value)?);

    "acl.file" = "", "Rules besides what follows from ownership: see docs/acl.md. Read again at SIGHUP.",
        |config, value| config.acl_file = Some(PathBuf::from(value.text()?));
    "acl.journal_max" = "50000", "Decisions of the last day that are kept for `mooring acl diff`, about 150 bytes each; the same one counts once. 0: none.",
        |config, value| config.acl_journal_max = number(value, 0, 10_000_000)?;

    "authentication.password_file" = "", "Users with passwords, for the listeners with allow_password and for HTTPS: lines of `mooring password hash`; see docs/authentication.md. Read again at SIGHUP.",
        |config, value| config.password_file = Some(PathBuf::from(value.text()?));
    "authentication.scram_file" = "", "Users who authenticate with SCRAM-SHA-256 (MQTT 5.0), on the same listeners: lines of `mooring password hash --scram`. Read again at SIGHUP.",
        |config, value| config.scram_file = Some(PathBuf::from(value.text()?));
    "authentication.device_password" = "\"instead\"", "What the passwords of devices are for, which claims and `mooring device password` make: \"unused\" nothing, \"instead\" they let a device in without a certificate (user name: its id) on listeners with allow_password, \"beside\" a device that has one needs it beside its certificate, \"required\" each device needs one beside its certificate.",
        |config, value| config.device_password = value.choice(&[
            ("unused", DevicePasswordPolicy::Unused), ("instead", DevicePasswordPolicy::Instead),
            ("beside", DevicePasswordPolicy::Beside), ("required", DevicePasswordPolicy::Required)])?;

    "webhook.url" = "", "Another system that knows who clients with a user name are and what they may, asked in VerneMQ's format: \"https://host/path\", or http:// on loopback. See docs/authentication.md.",
        |config, value| config.webhook.url = Some(value.text()?.parse()?);
    "webhook.ca_file" = "", "The root certificates, PEM, that vouch for an https address.",
        |config, value| config.webhook.ca_file = Some(PathBuf::from(value.text()?));
    "webhook.timeout_ms" = "3000", "How long an answer may take. Then the client is refused.",
        |config, value| config.webhook.timeout_ms = number(value, 10, 60_000)?;
    "webhook.failures_max" = "5", "After so many failures one after the other the webhook is left alone, and who needs it refused at once.",
        |config, value| config.webhook.failures_max = number(value, 1, 1_000_000)?;
    "webhook.pause_ms" = "5000", "For so long; then one question is a probe.",
        |config, value| config.webhook.pause_ms = number(value, 10, 3_600_000)?;
    "webhook.requests_max" = "64", "Questions at a time, each on a connection that is used again. More wait for their turn.",
        |config, value| config.webhook.requests_max = number(value, 1, 10_000)?;
    "webhook.cached_max" = "100000", "Answers that allow and say for how long (cache-control: max-age); the oldest make room.",
        |config, value| config.webhook.cached_max = number(value, 0, 10_000_000)?;
    "webhook.payload" = "false", "Whether auth_on_publish has the payload, in base64.",
        |config, value| config.webhook.payload = value.boolean()?;

    "oauth.issuer" = "", "The address by which people's browsers and apps reach this server, such as \"https://mooring.example.com\": no path. Without it: the first of server.names with the port of http.bind.",
        |config, value| config.oauth.issuer = Some(value.text()?);
    "oauth.access_token_minutes" = "10", "How long an access token lives; a connection that it opened ends with it, unless its app has renewed it.",
        |config, value| config.oauth.access_token_minutes = number(value, 1, 1440)?;
    "oauth.refresh_token_days" = "60", "How long an app stays signed in that does not ask for a new access token.",
        |config, value| config.oauth.refresh_token_days = number(value, 1, 3650)?;
    "oauth.signing_key_days" = "90", "How long a key signs tokens until a new one follows it. Keys are encrypted with certificates.key_file.",
        |config, value| config.oauth.signing_key_days = number(value, 1, 3650)?;

    "accounts.service" = "\"Mooring\"", "What the service is called: in mails, in authenticator apps and by passkeys.",
        |config, value| config.accounts.service = value.text()?;
    "accounts.sign_up" = "true", "Whether people may sign up by themselves.",
        |config, value| config.accounts.sign_up = value.boolean()?;
    "accounts.password_chars_min" = "12", "The fewest characters of a new password.",
        |config, value| config.accounts.password_chars_min = number(value, 8, 64)?;
    "accounts.breached_passwords" = "", "The file that `mooring passwords build` made: a new password that it has is refused. Without it: only the commonest, which are built in.",
        |config, value| config.accounts.breached_passwords = Some(PathBuf::from(value.text()?));
    "accounts.argon2_memory_kib" = "19456", "Memory of one hash of a password (argon2id), KiB. Passwords hashed otherwise are hashed anew when their owner signs in.",
        |config, value| config.accounts.argon2_memory_kib = number(value, 8, 262_144)?;
    "accounts.argon2_passes" = "2", "Passes over that memory.",
        |config, value| config.accounts.argon2_passes = number(value, 1, 16)?;
    "accounts.argon2_lanes" = "1", "Lanes of that memory.",
        |config, value| config.accounts.argon2_lanes = number(value, 1, 16)?;
    "accounts.hashes_max" = "2", "Passwords hashed at a time; more wait for their turn.",
        |config, value| config.accounts.hashes_max = number(value, 1, 256)?;
    "accounts.session_idle_days" = "14", "How long a browser stays signed in that is not used.",
        |config, value| config.accounts.session_idle_days = number(value, 1, 3650)?;
    "accounts.session_days" = "90", "How long it stays signed in at the most.",
        |config, value| config.accounts.session_days = number(value, 1, 3650)?;
    "accounts.mail_code_minutes" = "60", "How long the code or the link of a mail is good.",
        |config, value| config.accounts.mail_code_minutes = number(value, 5, 1440)?;
    "accounts.free_tries" = "5", "Wrong passwords or codes for one account that cost nothing. Each further one costs a wait: a second, then twice as long each time.",
        |config, value| config.accounts.free_tries = number(value, 1, 1000)?;
    "accounts.free_tries_of_address" = "30", "The same for one network address; an IPv6 /64 counts as one.",
        |config, value| config.accounts.free_tries_of_address = number(value, 1, 1_000_000)?;
    "accounts.wait_s_max" = "900", "The longest such wait, seconds.",
        |config, value| config.accounts.wait_s_max = number(value, 1, 86_400)?;

    "mail.from" = "\"Mooring <mooring@localhost>\"", "From whom mails come.",
        |config, value| config.mail.from = mail_sender(value)?;
    "mail.smtp_host" = "", "The mail server. Without it: each mail is a file in outbox/ of the data directory.",
        |config, value| config.mail.smtp_host = Some(value.text()?);
    "mail.smtp_port" = "587", "Its port.",
        |config, value| config.mail.smtp_port = number(value, 1, 65_535)?;
    "mail.smtp_security" = "\"starttls\"", "\"starttls\" (port 587), \"tls\" from the first byte (port 465), or \"none\" for a mail server on this machine.",
        |config, value| config.mail.smtp_security = value.choice(&[("starttls", SmtpSecurity::StartTls), ("tls", SmtpSecurity::Tls), ("none", SmtpSecurity::None)])?;
    "mail.smtp_user" = "", "The user name that it wants.",
        |config, value| config.mail.smtp_user = Some(value.text()?);
    "mail.smtp_password_file" = "", "The file whose first line is that user's password.",
        |config, value| config.mail.smtp_password_file = Some(PathBuf::from(value.text()?));
    "mail.smtp_trust_file" = "\"/etc/ssl/certs/ca-certificates.crt\"", "The authorities that are trusted for its certificate (PEM).",
        |config, value| config.mail.smtp_trust_file = PathBuf::from(value.text()?);
    "mail.smtp_timeout_ms" = "30000", "How long one mail may take. It is tried again, a few times.",
        |config, value| config.mail.smtp_timeout_ms = number(value, 1000, 600_000)?;

    "certificates.device_days" = "365", "How long a device's certificate is valid.",
        |config, value| config.certificates.device_days = number(value, 1, 7300)?;
    "certificates.client_days" = "90", "How long the certificate of an app or a service is valid.",
        |config, value| config.certificates.client_days = number(value, 1, 3650)?;
    "certificates.server_days" = "90", "How long the server's own certificate is valid; it is made again at a start when a third is left.",
        |config, value| config.certificates.server_days = number(value, 1, 825)?;
    "certificates.enrolment_days" = "365", "How long an enrolment secret can be used.",
        |config, value| config.certificates.enrolment_days = number(value, 1, 7300)?;
    "certificates.grace_days" = "30", "For how long after its end a device's certificate is good for one thing more: its renewal over HTTPS. 0: not at all.",
        |config, value| config.certificates.grace_days = number(value, 0, 3650)?;
    "certificates.grace_confirmation" = "false", "Whether the owner, or for a device without one an operator, has to confirm such a late renewal.",
        |config, value| config.certificates.grace_confirmation = value.boolean()?;
    "certificates.public_url" = "", "Where others reach .well-known/crl/, .well-known/ca/ and ocsp, such as \"http://pki.example.com\": named in every certificate from then on.",
        |config, value| config.certificates.public_url = Some(http_url(value)?);
    "certificates.status_bind" = "", "A plain HTTP listener for these three, which are signed and need no TLS. Without it they are on the HTTPS listener alone.",
        |config, value| config.certificates.status_bind = Some(value.address()?);
    "certificates.key_file" = "", "A file with the passphrase, or any 8 bytes or more, with which the authority's keys are encrypted; MOORING_CA_PASSPHRASE_FILE names it, too. Without it new keys are not encrypted.",
        |config, value| config.certificates.key_file = Some(PathBuf::from(value.text()?));
    "certificates.requests_per_address" = "600", "Enrolments, renewals and claims a minute from one address (of IPv6: from one /64). More: 429.",
        |config, value| config.certificates.requests_per_address = number(value, 1, 1_000_000)?;
    "certificates.requests_per_device" = "10", "Enrolments and renewals a minute of one device, and claims of one person. More: 429.",
        |config, value| config.certificates.requests_per_device = number(value, 1, 1_000_000)?;

    "public_certificate.certificate_file" = "", "A certificate for the HTTPS listener's public name, with its chain, PEM: shown to clients that ask for one of its names (SNI); all others get the one of our own authority, which devices trust. Looked at every ten seconds, and at SIGHUP.",
        |config, value| config.public_certificate.certificate_file = Some(PathBuf::from(value.text()?));
    "public_certificate.private_key_file" = "", "Its private key, PEM.",
        |config, value| config.public_certificate.private_key_file = Some(PathBuf::from(value.text()?));
    "public_certificate.acme_domains" = "[]", "DNS names for which an ACME server (RFC 8555) gives the certificate instead, and renews it. The server validates by TLS-ALPN: port 443 of these names has to lead to the HTTPS listener.",
        |config, value| config.public_certificate.order.domains = value.list()?;
    "public_certificate.acme_terms_agreed" = "false", "Says that you agree to the ACME server's terms of service.",
        |config, value| config.public_certificate.acme_terms_agreed = value.boolean()?;
    "public_certificate.acme_email" = "", "Where the ACME server may write when something is wrong.",
        |config, value| config.public_certificate.order.email = Some(value.text()?);
    "public_certificate.acme_directory" = "\"https://acme-v02.api.letsencrypt.org/directory\"", "The ACME server's directory.",
        |config, value| config.public_certificate.order.directory = value.text()?;
    "public_certificate.acme_root_file" = "", "The root certificate, PEM, by which an ACME server of one's own is trusted. Without it: the roots of this machine.",
        |config, value| config.public_certificate.order.root_file = Some(PathBuf::from(value.text()?));

    "events.filters" = "[\"devices/+/telemetry\", \"devices/+/events/+\", \"devices/+/logs\", \"devices/+/state/reported\", \"devices/+/commands/+/result/+\", \"devices/+/update/status\", \"devices/+/presence\"]", "Messages on these topics are kept in the database, each once.",
        |config, value| config.events.filters = filters(value)?;
    "events.timeline" = "false", "Keep connects, refusals and disconnects of devices, with their causes, as events on devices/<id>/timeline.",
        |config, value| config.limits.timeline_events = value.boolean()?;
    "events.batch_max" = "5000", "Events in one transaction of the database.",
        |config, value| config.events.batch_max = number(value, 1, 100_000)?;
    "events.keep_days" = "0", "Events older than this are forgotten, on Postgres by whole days. 0: none is.",
        |config, value| config.events.keep_days = number(value, 0, 36_500)?;

    "limits.connections_max" = "1000000", "MQTT connections at a time. Further ones are closed at once.",
        |config, value| config.connections.connections_max = number(value, 1, 10_000_000)?;
    "limits.connections_per_address_max" = "1000000", "MQTT connections from one address; an IPv6 /64 counts as one. Further ones are closed at once.",
        |config, value| config.connections.per_address_max = number(value, 1, 10_000_000)?;
    "limits.connections_per_identity_max" = "1000000", "MQTT connections of one identity; all that name nobody are one. One more: CONNACK 0x97, unless it takes over a connected session.",
        |config, value| config.connections.per_identity_max = number(value, 1, 10_000_000)?;
    "limits.connect_rate_max" = "5000", "New connections a second in all, on average; 0: no limit. More wait unaccepted.",
        |config, value| config.connections.connect_rate_max = number(value, 0, 1_000_000)?;
    "limits.connect_burst_max" = "10000", "New connections at once in all, after a pause.",
        |config, value| config.connections.connect_burst_max = number(value, 1, 10_000_000)?;
    "limits.connect_rate_per_address_max" = "200", "New connections a second from one address, on average; 0: no limit. Further ones are closed at once.",
        |config, value| config.connections.per_address_rate_max = number(value, 0, 1_000_000)?;
    "limits.connect_burst_per_address_max" = "2000", "New connections at once from one address, after a pause.",
        |config, value| config.connections.per_address_burst_max = number(value, 1, 10_000_000)?;
    "limits.failed_rate_per_address_max" = "5", "Connections a second from one address that may fail (in TLS, by a refused CONNECT, by taking too long), on average; 0: no limit. One more bans the address for a while: all that comes from it is closed at once.",
        |config, value| config.connections.failed_rate_max = number(value, 0, 1_000_000)?;
    "limits.failed_burst_per_address_max" = "50", "Connections from one address that may fail at once, after a pause.",
        |config, value| config.connections.failed_burst_max = number(value, 1, 10_000_000)?;
    "limits.ban_ms_min" = "1000", "How long the first ban of an address is. Each further one is twice as long.",
        |config, value| config.connections.ban_ms_min = number(value, 1, 86_400_000)?;
    "limits.ban_ms_max" = "600000", "How long the longest ban is. After as long without a failure, bans begin anew. 0: no bans.",
        |config, value| config.connections.ban_ms_max = number(value, 0, 86_400_000)?;
    "limits.remembered_addresses_max" = "65536", "Addresses whose rates and bans are remembered, about 100 bytes each. Beyond it those with least to remember are forgotten first.",
        |config, value| config.connections.remembered_addresses_max = number(value, 1, 10_000_000)?;
    "limits.rates_on_loopback" = "false", "Whether the rates and bans above are for loopback, too: tools, and proxies on the same machine, come from there.",
        |config, value| config.connections.rates_on_loopback = value.boolean()?;
    "limits.silent_max" = "4096", "Connections that have sent nothing yet. More wait unaccepted, and the oldest is closed to make room.",
        |config, value| config.connections.silent_max = number(value, 1, 1_000_000)?;
    "limits.silent_ms_min" = "500", "How long one that has sent nothing is safe from that.",
        |config, value| config.connections.silent_ms_min = number(value, 0, 600_000)?;
    "limits.handshakes_max" = "512", "Connections that have begun to send and are not let in yet. More wait, and the oldest is closed to make room.",
        |config, value| config.connections.handshakes_max = number(value, 1, 1_000_000)?;
    "limits.unfinished_ms_min" = "3000", "How long one that has begun to send is safe from that.",
        |config, value| config.connections.unfinished_ms_min = number(value, 0, 600_000)?;
    "limits.handshake_ms_max" = "10000", "Time from accept for TLS and the WebSocket upgrade. After it the socket is closed.",
        |config, value| config.connections.handshake_ms_max = number(value, 100, 600_000)?;
    "limits.connect_ms_max" = "15000", "Time from accept to a complete CONNECT. After it the socket is closed.",
        |config, value| config.connections.connect_ms_max = number(value, 100, 600_000)?;
    "limits.connect_bytes_max" = "163840", "Largest CONNECT, bytes. A larger one is closed before it is read.",
        |config, value| config.connections.connect_bytes_max = number(value, 128, 268_435_455)?;
    "limits.user_timeout_ms" = "60000", "How long sent bytes may stay unacknowledged before the kernel gives the connection up (TCP_USER_TIMEOUT).",
        |config, value| config.connections.user_timeout_ms = number(value, 1_000, 86_400_000)?;
    "limits.tcp_keepalive_s" = "60", "After how much silence the kernel probes the peer, seconds.",
        |config, value| config.connections.tcp_keepalive_s = number(value, 1, 32_767)?;
    "limits.close_ms_max" = "2000", "How long a closed connection may take to take its last bytes.",
        |config, value| config.connections.close_ms_max = number(value, 1, 600_000)?;
    "limits.packet_size_max" = "1048576", "Largest MQTT packet, bytes. A larger one: DISCONNECT 0x95 from its fixed header, before it is read.",
        |config, value| config.limits.packet_size_max = number(value, 128, 268_435_455)?;
    "limits.session_expiry_s_max" = "2592000", "How long a session may outlive its connection, seconds. A longer wish is clamped and told in CONNACK.",
        |config, value| config.limits.session_expiry_s_max = number(value, 0, i64::from(u32::MAX))?;
    "limits.receive_max" = "256", "QoS 1 and 2 messages that a client may have unacknowledged. One more: DISCONNECT 0x93.",
        |config, value| config.limits.receive_max = number(value, 1, 65_534)?;
    "limits.inflight_max" = "256", "Unacknowledged messages towards one client.",
        |config, value| config.limits.inflight_max = number(value, 1, 65_534)?;
    "limits.topic_alias_max" = "32", "Topic aliases of one client. A higher one: DISCONNECT 0x94.",
        |config, value| config.limits.topic_alias_max = number(value, 0, 65_535)?;
    "limits.outgoing_topic_alias_max" = "32", "Topic aliases used towards one client.",
        |config, value| config.limits.outgoing_topic_alias_max = number(value, 0, 65_535)?;
    "limits.keepalive_s_max" = "3600", "Longest keep alive, seconds; a 5.0 client that wants a longer one or none is told this one. 0: no limit.",
        |config, value| config.limits.keepalive_s_max = number(value, 0, 65_535)?;
    "limits.subscriptions_per_session_max" = "10000", "Subscriptions of one session. One more: SUBACK 0x97.",
        |config, value| config.limits.subscriptions_per_session_max = number(value, 1, 10_000_000)?;
    "limits.queue_messages_max" = "100000", "Messages queued for one session. The next is dropped, counted and told in the timeline.",
        |config, value| config.limits.queue_messages_max = number(value, 1, 100_000_000)?;
    "limits.queue_bytes_max" = "67108864", "Bytes queued for one session, likewise.",
        |config, value| config.limits.queue_bytes_max = number(value, 1024, i64::MAX)?;
    "limits.queue_bytes_total_max" = "1073741824", "Bytes queued for all sessions. From seven eighths on QoS 0 goes only to clients that read; when it is full, the newest message of the longest queue is dropped, counted and told.",
        |config, value| config.limits.queue_bytes_total_max = number(value, 1024, i64::MAX)?;
    "limits.sessions_per_identity_max" = "1000000", "Sessions of one identity. One more: CONNACK 0x97; resuming is always possible.",
        |config, value| config.limits.sessions_per_identity_max = number(value, 1, i64::MAX)?;
    "limits.wills_max" = "1000000", "Wills. A CONNECT with one more: 0x97.",
        |config, value| config.limits.wills_max = number(value, 0, i64::MAX)?;
    "limits.will_bytes_max" = "268435456", "Bytes of wills, likewise.",
        |config, value| config.limits.will_bytes_max = number(value, 0, i64::MAX)?;
    "limits.publish_rate_max" = "0", "PUBLISH packets a second of one client, a second's worth at once. A faster client is read more slowly. 0: no limit.",
        |config, value| config.limits.publish_rate_max = number(value, 0, 10_000_000)?;
    "limits.publish_bytes_rate_max" = "0", "Bytes of topics and payloads a second of one client, likewise.",
        |config, value| config.limits.publish_bytes_rate_max = number(value, 0, i64::from(u32::MAX))?;
    "limits.output_bytes_max" = "2097152", "Bytes that wait in memory for one client that does not read. Beyond it QoS 0 is dropped.",
        |config, value| config.limits.output_bytes_max = number(value, 4096, i64::MAX)?;
    "limits.queue_memory_bytes_max" = "268435456", "Bytes of queued payloads kept in memory by one shard; the rest is read back from the log.",
        |config, value| config.limits.queue_memory_bytes_max = number(value, 0, i64::MAX)?;
    "limits.retained_messages_max" = "2000000", "Retained messages. One more: 0x97.",
        |config, value| config.limits.retained_messages_max = number(value, 0, i64::MAX)?;
    "limits.retained_bytes_max" = "1073741824", "Bytes of retained messages, likewise.",
        |config, value| config.limits.retained_bytes_max = number(value, 0, i64::MAX)?;
    "limits.topic_levels_max" = "64", "Levels of a topic or filter. More: 0x90 or 0x8F.",
        |config, value| config.limits.topic_levels_max = number(value, 4, 1024)?;
    "limits.topic_length_max" = "4096", "Bytes of a topic or filter, likewise.",
        |config, value| config.limits.topic_length_max = number(value, 64, 65_534)?;
    "limits.user_properties_max" = "64", "User properties of one packet. More: 0x97.",
        |config, value| config.limits.user_properties_max = number(value, 0, 10_000)?;

    "shared_subscriptions.strategy" = "\"round_robin\"", "Which connected member gets a message: \"round_robin\" in turn, \"least_in_flight\" who has the fewest to acknowledge, \"sticky\" the same for all of one publisher, \"local_first\" in turn among those on the same shard.",
        |config, value| config.limits.shared_strategy = value.choice(&[
            ("round_robin", SharedStrategy::RoundRobin), ("least_in_flight", SharedStrategy::LeastInFlight),
            ("sticky", SharedStrategy::StickyByPublisher), ("local_first", SharedStrategy::LocalFirst)])?;

    "responses.information" = "", "What CONNACK says to a client that asks for response information, such as \"replies/{client}\": {client} is its client id. Without it: nothing.",
        |config, value| config.limits.response_information = Some(value.text()?.into());

    "telemetry.log" = "\"info\"", "What is logged, as a tracing filter: \"info\", \"debug\", \"info,mooring_server=trace\".",
        |config, value| config.telemetry.log = value.text()?;
    "telemetry.json" = "false", "Log lines as JSON.",
        |config, value| config.telemetry.json = value.boolean()?;
};

/// Settings of one `[[listeners]]` table.
pub(super) const LISTENER_SETTINGS: &[Setting<Listener>] = settings! { Listener:
    "name" = "\"mqtts\"", "What it is called in the log and the timeline.",
        |listener, value| listener.name = value.text()?;
    "kind" = "\"tls\"", "\"tcp\", \"tls\", \"ws\", \"wss\", or \"unix\" for a Unix-domain socket.",
        |listener, value| listener.kind = value.choice(&[("tcp", Kind::Tcp), ("tls", Kind::Tls), ("ws", Kind::Ws), ("wss", Kind::Wss), ("unix", Kind::Unix)])?;
    "bind" = "\"0.0.0.0:8883\"", "Address and port; port 0 takes a free one.",
        |listener, value| listener.bind = value.address()?;
    "path" = "", "The socket file of kind \"unix\", in place of an address. Its owner and its group may connect (mode 0660).",
        |listener, value| listener.path = Some(PathBuf::from(value.text()?));
    "proxy_protocol_from" = "[]", "Addresses of proxies that send a PROXY protocol header (version 2) before anything else, such as [\"10.0.0.0/8\"]. From these it is required, from others refused.",
        |listener, value| listener.proxy_protocol_from = networks(value)?;
    "client_certificate" = "\"required\"", "With TLS: \"required\", \"optional\" or \"none\".",
        |listener, value| listener.client_certificate = value.choice(&[
            ("required", ClientCertificate::Required), ("optional", ClientCertificate::Optional), ("none", ClientCertificate::None)])?;
    "allow_anonymous" = "false", "Lets clients in that name nobody, with every right but $SYS. On loopback only, unless the next key stands beside it.",
        |listener, value| listener.allow_anonymous = value.boolean()?;
    "anonymous_beyond_loopback" = "false", "Allows allow_anonymous on any address.",
        |listener, value| listener.anonymous_beyond_loopback = value.boolean()?;
    "allow_password" = "false", "Lets clients without a certificate in by a password: an API token, or a user of authentication.password_file. With TLS, or on loopback; see docs/authentication.md.",
        |listener, value| listener.allow_password = value.boolean()?;
};

fn number<T: TryFrom<i64>>(value: &Value, min: i64, max: i64) -> Result<T, String> {
    let number = value.integer(min, max)?;
    T::try_from(number).map_err(|_| format!("{number} is too large"))
}

fn filters(value: &Value) -> Result<Vec<TopicFilterBuf>, String> {
    value
        .list()?
        .iter()
        .map(|text| TopicFilterBuf::parse(text).map_err(|error| format!("{text:?} is no topic filter: {error}")))
        .collect()
}

fn http_url(value: &Value) -> Result<String, String> {
    let url = value.text()?;
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let printable = url.bytes().all(|byte| byte.is_ascii_graphic());
    if printable && rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['?', '#'])) {
        Ok(url)
    } else {
        Err("expected http://host or https://host, with a port or a path if need be".to_owned())
    }
}

fn origins(value: &Value) -> Result<Vec<String>, String> {
    let is_origin = |origin: &str| {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        host.is_some_and(|host| {
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'*')
        })
    };
    let origins = value.list()?;
    match origins.iter().find(|origin| !is_origin(origin)) {
        Some(origin) => Err(format!("{origin:?} is no origin: scheme and host, such as https://app.example.com")),
        None => Ok(origins),
    }
}

fn endpoint(value: &Value) -> Result<String, String> {
    let url = value.text()?;
    let rest = ["mqtt://", "mqtts://", "wss://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    if rest.is_some_and(|rest| !rest.is_empty()) && url.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(url)
    } else {
        Err("expected mqtts://host:port".to_owned())
    }
}

fn mail_sender(value: &Value) -> Result<String, String> {
    let text = value.text()?;
    mooring_accounts::Sender::parse(&text).map_err(|error| error.to_string())?;
    Ok(text)
}

fn networks(value: &Value) -> Result<Vec<Network>, String> {
    value.list()?.iter().map(|text| text.parse().map_err(|error: NetworkError| error.to_string())).collect()
}

fn database_url(value: &Value) -> Result<String, String> {
    let url = value.text()?;
    if ["postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| url.starts_with(scheme)) {
        Ok(url)
    } else {
        // The value may hold a password: it is not repeated.
        Err("expected postgres://user:password@host/name or sqlite:///path".to_owned())
    }
}
