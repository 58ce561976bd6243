//! The terms of a grant or an invite, as people write them: what a technician may do, until when, and to which address.

use mooring_auth::Scope as TechnicianScope;
use mooring_store::GrantRole;
use time::{Duration, OffsetDateTime};

use super::events::parse_time;
use crate::Problem;

/// The scopes of a technician, in the names that rights are recorded with. Others have none to choose.
pub(super) fn parse_scopes(role: GrantRole, scopes: &[String]) -> Result<Vec<String>, Problem> {
    match (role, scopes.is_empty()) {
        (GrantRole::Technician, true) => {
            return Err(Problem::invalid_request("Say in `scopes` what the technician may do."));
        }
        (GrantRole::Technician, false) => {}
        (_, true) => return Ok(Vec::new()),
        (_, false) => return Err(Problem::invalid_request("Only technicians have scopes.")),
    }
    if scopes.len() > SCOPES_MAX {
        return Err(Problem::invalid_request(format!("There are at most {SCOPES_MAX} scopes.")));
    }
    let mut parsed = scopes.iter().map(|scope| parse_scope(scope)).collect::<Result<Vec<_>, _>>()?;
    parsed.sort();
    parsed.dedup();
    Ok(parsed)
}

const SCOPES_MAX: usize = 32;

fn parse_scope(scope: &str) -> Result<String, Problem> {
    let name = match scope {
        "telemetry" => "telemetry:read",
        "events" => "events:read",
        "logs" => "logs:read",
        "state" => "state:read",
        "presence" => "presence:read",
        "commands" => "commands:read",
        "updates" => "update:read",
        other => other,
    };
    // Every command at once is the owner's and members'; a technician's are named one by one.
    match TechnicianScope::from_name(name) {
        Some(scope) if scope != TechnicianScope::CommandsSend => Ok(scope.name().into_owned()),
        _ => Err(Problem::invalid_request(format!(
            "{scope:?} is no scope of a technician: there are telemetry, events, logs, state, presence, commands, updates and command:<name>."
        ))),
    }
}

/// When a grant ends: in the future, a technician's within a year.
pub(super) fn parse_until(role: GrantRole, until: Option<&str>) -> Result<Option<OffsetDateTime>, Problem> {
    let until = parse_time("until", until)?;
    let now = OffsetDateTime::now_utc();
    match until {
        Some(until) if until <= now => Err(Problem::invalid_request("until is in the past.")),
        Some(until) if role == GrantRole::Technician && until > now + Duration::days(366) => {
            Err(Problem::invalid_request("A technician's grant ends within a year."))
        }
        None if role == GrantRole::Technician => {
            Err(Problem::invalid_request("Say in `until` when the technician's grant ends."))
        }
        until => Ok(until),
    }
}

/// An address that can stand in a mail's header and in a list: one @, no spaces, nothing hidden. Whether it exists, the mail will tell.
pub(super) fn parse_email(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    let usable =
        |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '<' | '>' | ',' | ';' | '"' | '(' | ')' | '\\');
    match text.split_once('@') {
        Some((local, domain))
            if !local.is_empty()
                && domain.contains('.')
                && !domain.contains('@')
                && text.len() <= 254
                && text.chars().all(usable) =>
        {
            Ok(text.to_owned())
        }
        _ => Err(Problem::invalid_request("email is an address such as otto@example.com.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_an_address_begins_no_other_header() {
        let check = |text: &str, good: bool| assert_eq!(parse_email(text).is_ok(), good, "{text:?}");
        check("otto@example.com", true);
        check("o.t-t+o@mail.example.com", true);
        for bad in
            ["", "otto", "otto@", "@example.com", "a@b@c.d", "a@b.c\r\nBcc: x@y.z", "a b@c.d", "a@b.c,d@e.f", "<a@b.c>"]
        {
            check(bad, false);
        }
    }

    #[test]
    fn a_technician_has_named_scopes_and_an_end() {
        let scopes = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            parse_scopes(GrantRole::Technician, &names).ok()
        };
        assert_eq!(
            scopes(&["telemetry", "telemetry:read", "command:start"]).unwrap(),
            ["command:start", "telemetry:read"]
        );
        for bad in
            [&[][..], &["everything"], &["commands:send"], &["command:a b"], &["command:"], &["command:+"], &["*"]]
        {
            assert_eq!(scopes(bad), None, "{bad:?}");
        }
        assert!(parse_scopes(GrantRole::Guest, &["telemetry".to_owned()]).is_err());
        assert!(parse_until(GrantRole::Technician, None).is_err());
        assert!(parse_until(GrantRole::Technician, Some("2020-01-01T00:00:00Z")).is_err());
        assert!(parse_until(GrantRole::Technician, Some("2120-01-01T00:00:00Z")).is_err());
        assert!(parse_until(GrantRole::Guest, None).unwrap().is_none());
    }
}
