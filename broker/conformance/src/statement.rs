//! The normative statements of both versions and how each stands to this suite.

use serde::Serialize;

use crate::wire::Version;

/// A normative statement by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// `MQTT-3.1.0-1`.
    pub id: &'static str,
    /// How it stands to the suite.
    pub standing: Standing,
}

/// How a statement stands to the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "standing", content = "why", rename_all = "lowercase")]
pub enum Standing {
    /// At least one case checks it.
    Cased,
    /// It binds clients alone.
    Client,
    /// It binds a server, but what it says can't be seen from outside; why.
    Unseen(&'static str),
}

/// All numbered statements of a version, in the order of its appendix B.
pub fn statements(version: Version) -> &'static [Statement] {
    match version {
        // It numbers none.
        Version::V31 => &[],
        Version::V311 => V311,
        Version::V5 => V5,
    }
}

const fn cased(id: &'static str) -> Statement {
    Statement { id, standing: Standing::Cased }
}

const fn client(id: &'static str) -> Statement {
    Statement { id, standing: Standing::Client }
}

const fn unseen(id: &'static str, why: &'static str) -> Statement {
    Statement { id, standing: Standing::Unseen(why) }
}

const TRANSIENT: &str =
    "a transient error, such as memory that runs out, cannot be provoked without harming the server";
const BRIDGE: &str = "a connection that the server opens to another server does not come to the suite";
const EXPLAINED: &str = "nothing makes a server explain an AUTH, so there is no property to leave out";

#[rustfmt::skip]
const V311: &[Statement] = &[
    cased("MQTT-1.5.3-1"), cased("MQTT-1.5.3-2"), cased("MQTT-1.5.3-3"), cased("MQTT-2.2.2-1"), cased("MQTT-2.2.2-2"),
    cased("MQTT-2.3.1-1"), client("MQTT-2.3.1-2"), client("MQTT-2.3.1-3"), cased("MQTT-2.3.1-4"),
    cased("MQTT-2.3.1-5"), cased("MQTT-2.3.1-6"), cased("MQTT-2.3.1-7"), cased("MQTT-3.1.0-1"), cased("MQTT-3.1.0-2"),
    cased("MQTT-3.1.2-1"), cased("MQTT-3.1.2-2"), cased("MQTT-3.1.2-3"), cased("MQTT-3.1.2-4"), cased("MQTT-3.1.2-5"),
    cased("MQTT-3.1.2-6"), cased("MQTT-3.1.2-7"), cased("MQTT-3.1.2-8"), cased("MQTT-3.1.2-9"),
    cased("MQTT-3.1.2-10"), cased("MQTT-3.1.2-11"), cased("MQTT-3.1.2-12"), cased("MQTT-3.1.2-13"),
    cased("MQTT-3.1.2-14"), cased("MQTT-3.1.2-15"), cased("MQTT-3.1.2-16"), cased("MQTT-3.1.2-17"),
    cased("MQTT-3.1.2-18"), cased("MQTT-3.1.2-19"), cased("MQTT-3.1.2-20"), cased("MQTT-3.1.2-21"),
    cased("MQTT-3.1.2-22"), client("MQTT-3.1.2-23"), cased("MQTT-3.1.2-24"), cased("MQTT-3.1.3-1"),
    cased("MQTT-3.1.3-2"), cased("MQTT-3.1.3-3"), cased("MQTT-3.1.3-4"), cased("MQTT-3.1.3-5"), cased("MQTT-3.1.3-6"),
    client("MQTT-3.1.3-7"), cased("MQTT-3.1.3-8"), cased("MQTT-3.1.3-9"), cased("MQTT-3.1.3-10"),
    cased("MQTT-3.1.3-11"), cased("MQTT-3.1.4-1"), cased("MQTT-3.1.4-2"), cased("MQTT-3.1.4-3"),
    cased("MQTT-3.1.4-4"), cased("MQTT-3.1.4-5"), cased("MQTT-3.2.0-1"), cased("MQTT-3.2.2-1"), cased("MQTT-3.2.2-2"),
    cased("MQTT-3.2.2-3"), cased("MQTT-3.2.2-4"), cased("MQTT-3.2.2-5"), cased("MQTT-3.2.2-6"), cased("MQTT-3.3.1-1"),
    cased("MQTT-3.3.1-2"), cased("MQTT-3.3.1-3"), cased("MQTT-3.3.1-4"), cased("MQTT-3.3.1-5"), cased("MQTT-3.3.1-6"),
    cased("MQTT-3.3.1-7"), cased("MQTT-3.3.1-8"), cased("MQTT-3.3.1-9"), cased("MQTT-3.3.1-10"),
    cased("MQTT-3.3.1-11"), cased("MQTT-3.3.1-12"), cased("MQTT-3.3.2-1"), cased("MQTT-3.3.2-2"),
    cased("MQTT-3.3.2-3"), cased("MQTT-3.3.4-1"), cased("MQTT-3.3.5-1"), cased("MQTT-3.3.5-2"), cased("MQTT-3.6.1-1"),
    cased("MQTT-3.8.1-1"), cased("MQTT-3.8.3-1"), cased("MQTT-3.8.3-2"), cased("MQTT-3.8.3-3"), cased("MQTT-3-8.3-4"),
    cased("MQTT-3.8.4-1"), cased("MQTT-3.8.4-2"), cased("MQTT-3.8.4-3"), cased("MQTT-3.8.4-4"), cased("MQTT-3.8.4-5"),
    cased("MQTT-3.8.4-6"), cased("MQTT-3.9.3-1"), cased("MQTT-3.9.3-2"), cased("MQTT-3.10.1-1"),
    cased("MQTT-3.10.3-1"), cased("MQTT-3.10.3-2"), cased("MQTT-3.10.4-1"), cased("MQTT-3.10.4-2"),
    cased("MQTT-3.10.4-3"), cased("MQTT-3.10.4-4"), cased("MQTT-3.10.4-5"), cased("MQTT-3.10.4-6"),
    cased("MQTT-3.12.4-1"), cased("MQTT-3.14.1-1"), client("MQTT-3.14.4-1"), client("MQTT-3.14.4-2"),
    cased("MQTT-3.14.4-3"), cased("MQTT-4.1.0-1"), cased("MQTT-4.1.0-2"), cased("MQTT-4.3.1-1"),
    cased("MQTT-4.3.2-1"), cased("MQTT-4.3.2-2"), cased("MQTT-4.3.3-1"), cased("MQTT-4.3.3-2"), cased("MQTT-4.4.0-1"),
    cased("MQTT-4.5.0-1"), client("MQTT-4.5.0-2"), cased("MQTT-4.6.0-1"), client("MQTT-4.6.0-2"),
    client("MQTT-4.6.0-3"), cased("MQTT-4.6.0-4"), cased("MQTT-4.6.0-5"), cased("MQTT-4.6.0-6"),
    cased("MQTT-4.7.1-1"), cased("MQTT-4.7.1-2"), cased("MQTT-4.7.1-3"), cased("MQTT-4.7.2-1"), cased("MQTT-4.7.3-1"),
    cased("MQTT-4.7.3-2"), cased("MQTT-4.7.3-3"), cased("MQTT-4.7.3-4"), cased("MQTT-4.8.0-1"),
    unseen("MQTT-4.8.0-2", TRANSIENT), cased("MQTT-6.0.0-1"), cased("MQTT-6.0.0-2"),
    client("MQTT-6.0.0-3"), cased("MQTT-6.0.0-4"), unseen("MQTT-7.0.0-1", BRIDGE), cased("MQTT-7.0.0-2"),
    cased("MQTT-7.1.1-1"), client("MQTT-7.1.2-1"),
];

#[rustfmt::skip]
const V5: &[Statement] = &[
    cased("MQTT-1.5.4-1"), cased("MQTT-1.5.4-2"), cased("MQTT-1.5.4-3"), cased("MQTT-1.5.5-1"), cased("MQTT-1.5.7-1"),
    cased("MQTT-2.1.3-1"), cased("MQTT-2.2.1-2"), client("MQTT-2.2.1-3"), cased("MQTT-2.2.1-4"),
    cased("MQTT-2.2.1-5"), cased("MQTT-2.2.1-6"), cased("MQTT-2.2.2-1"), cased("MQTT-3.1.0-1"), cased("MQTT-3.1.0-2"),
    cased("MQTT-3.1.2-1"), cased("MQTT-3.1.2-2"), cased("MQTT-3.1.2-3"), cased("MQTT-3.1.2-4"), cased("MQTT-3.1.2-5"),
    cased("MQTT-3.1.2-6"), cased("MQTT-3.1.2-7"), cased("MQTT-3.1.2-8"), cased("MQTT-3.1.2-9"),
    cased("MQTT-3.1.2-10"), cased("MQTT-3.1.2-11"), cased("MQTT-3.1.2-12"), cased("MQTT-3.1.2-13"),
    cased("MQTT-3.1.2-14"), cased("MQTT-3.1.2-15"), cased("MQTT-3.1.2-16"), cased("MQTT-3.1.2-17"),
    cased("MQTT-3.1.2-18"), cased("MQTT-3.1.2-19"), client("MQTT-3.1.2-20"), client("MQTT-3.1.2-21"),
    cased("MQTT-3.1.2-22"), cased("MQTT-3.1.2-23"), cased("MQTT-3.1.2-24"), cased("MQTT-3.1.2-25"),
    cased("MQTT-3.1.2-26"), cased("MQTT-3.1.2-27"), cased("MQTT-3.1.2-28"), cased("MQTT-3.1.2-29"),
    client("MQTT-3.1.2-30"), cased("MQTT-3.1.3-1"), cased("MQTT-3.1.3-2"), cased("MQTT-3.1.3-3"),
    cased("MQTT-3.1.3-4"), cased("MQTT-3.1.3-5"), cased("MQTT-3.1.3-6"), cased("MQTT-3.1.3-7"), cased("MQTT-3.1.3-8"),
    cased("MQTT-3.1.3-9"), cased("MQTT-3.1.3-10"), cased("MQTT-3.1.3-11"), cased("MQTT-3.1.3-12"),
    cased("MQTT-3.1.4-1"), cased("MQTT-3.1.4-2"), cased("MQTT-3.1.4-3"), cased("MQTT-3.1.4-4"), cased("MQTT-3.1.4-5"),
    cased("MQTT-3.1.4-6"), cased("MQTT-3.2.0-1"), cased("MQTT-3.2.0-2"), cased("MQTT-3.2.2-1"), cased("MQTT-3.2.2-2"),
    cased("MQTT-3.2.2-3"), client("MQTT-3.2.2-4"), client("MQTT-3.2.2-5"), cased("MQTT-3.2.2-6"),
    cased("MQTT-3.2.2-7"), cased("MQTT-3.2.2-8"), cased("MQTT-3.2.2-9"), cased("MQTT-3.2.2-10"),
    cased("MQTT-3.2.2-11"), cased("MQTT-3.2.2-12"), cased("MQTT-3.2.2-13"), cased("MQTT-3.2.2-14"),
    cased("MQTT-3.2.2-15"), cased("MQTT-3.2.2-16"), cased("MQTT-3.2.2-17"), cased("MQTT-3.2.2-18"),
    cased("MQTT-3.2.2-19"), cased("MQTT-3.2.2-20"), client("MQTT-3.2.2-21"), cased("MQTT-3.2.2-22"),
    cased("MQTT-3.3.1-1"), cased("MQTT-3.3.1-2"), cased("MQTT-3.3.1-3"), cased("MQTT-3.3.1-4"), cased("MQTT-3.3.1-5"),
    cased("MQTT-3.3.1-6"), cased("MQTT-3.3.1-7"), cased("MQTT-3.3.1-8"), cased("MQTT-3.3.1-9"),
    cased("MQTT-3.3.1-10"), cased("MQTT-3.3.1-11"), cased("MQTT-3.3.1-12"), cased("MQTT-3.3.1-13"),
    cased("MQTT-3.3.2-1"), cased("MQTT-3.3.2-2"), cased("MQTT-3.3.2-3"), cased("MQTT-3.3.2-4"), cased("MQTT-3.3.2-5"),
    cased("MQTT-3.3.2-6"), cased("MQTT-3.3.2-7"), cased("MQTT-3.3.2-8"), cased("MQTT-3.3.2-9"),
    client("MQTT-3.3.2-10"), cased("MQTT-3.3.2-11"), cased("MQTT-3.3.2-12"), cased("MQTT-3.3.2-13"),
    cased("MQTT-3.3.2-14"), cased("MQTT-3.3.2-15"), cased("MQTT-3.3.2-16"), cased("MQTT-3.3.2-17"),
    cased("MQTT-3.3.2-18"), cased("MQTT-3.3.2-19"), cased("MQTT-3.3.2-20"), cased("MQTT-3.3.4-1"),
    cased("MQTT-3.3.4-2"), cased("MQTT-3.3.4-3"), cased("MQTT-3.3.4-4"), cased("MQTT-3.3.4-5"), cased("MQTT-3.3.4-6"),
    cased("MQTT-3.3.4-7"), client("MQTT-3.3.4-8"), cased("MQTT-3.3.4-9"), cased("MQTT-3.3.4-10"),
    cased("MQTT-3.4.2-1"), cased("MQTT-3.4.2-2"), cased("MQTT-3.4.2-3"), cased("MQTT-3.5.2-1"), cased("MQTT-3.5.2-2"),
    cased("MQTT-3.5.2-3"), cased("MQTT-3.6.1-1"), cased("MQTT-3.6.2-1"), cased("MQTT-3.6.2-2"), cased("MQTT-3.6.2-3"),
    cased("MQTT-3.7.2-1"), cased("MQTT-3.7.2-2"), cased("MQTT-3.7.2-3"), cased("MQTT-3.8.1-1"), cased("MQTT-3.8.3-1"),
    cased("MQTT-3.8.3-2"), cased("MQTT-3.8.3-3"), cased("MQTT-3.8.3-4"), cased("MQTT-3.8.3-5"), cased("MQTT-3.8.4-1"),
    cased("MQTT-3.8.4-2"), cased("MQTT-3.8.4-3"), cased("MQTT-3.8.4-4"), cased("MQTT-3.8.4-5"), cased("MQTT-3.8.4-6"),
    cased("MQTT-3.8.4-7"), cased("MQTT-3.8.4-8"), cased("MQTT-3.9.2-1"), cased("MQTT-3.9.2-2"), cased("MQTT-3.9.3-1"),
    cased("MQTT-3.9.3-2"), cased("MQTT-3.10.1-1"), cased("MQTT-3.10.3-1"), cased("MQTT-3.10.3-2"),
    cased("MQTT-3.10.4-1"), cased("MQTT-3.10.4-2"), cased("MQTT-3.10.4-3"), cased("MQTT-3.10.4-4"),
    cased("MQTT-3.10.4-5"), cased("MQTT-3.10.4-6"), cased("MQTT-3.11.2-1"), cased("MQTT-3.11.2-2"),
    cased("MQTT-3.11.3-1"), cased("MQTT-3.11.3-2"), cased("MQTT-3.12.4-1"), cased("MQTT-3.14.0-1"),
    cased("MQTT-3.14.1-1"), cased("MQTT-3.14.2-1"), cased("MQTT-3.14.2-2"), cased("MQTT-3.14.2-3"),
    cased("MQTT-3.14.2-4"), cased("MQTT-3.14.4-1"), cased("MQTT-3.14.4-2"), cased("MQTT-3.14.4-3"),
    cased("MQTT-3.15.1-1"), cased("MQTT-3.15.2-1"), unseen("MQTT-3.15.2-2", EXPLAINED),
    unseen("MQTT-3.15.2-3", EXPLAINED), cased("MQTT-4.1.0-1"), cased("MQTT-4.1.0-2"), cased("MQTT-4.2-1"),
    cased("MQTT-4.3.1-1"), cased("MQTT-4.3.2-1"), cased("MQTT-4.3.2-2"), cased("MQTT-4.3.2-3"), cased("MQTT-4.3.2-4"),
    cased("MQTT-4.3.2-5"), cased("MQTT-4.3.3-1"), cased("MQTT-4.3.3-2"), cased("MQTT-4.3.3-3"), cased("MQTT-4.3.3-4"),
    cased("MQTT-4.3.3-5"), cased("MQTT-4.3.3-6"), cased("MQTT-4.3.3-7"), cased("MQTT-4.3.3-8"), cased("MQTT-4.3.3-9"),
    cased("MQTT-4.3.3-10"), cased("MQTT-4.3.3-11"), cased("MQTT-4.3.3-12"), cased("MQTT-4.3.3-13"),
    cased("MQTT-4.4.0-1"), cased("MQTT-4.4.0-2"), cased("MQTT-4.5.0-1"), client("MQTT-4.5.0-2"),
    client("MQTT-4.6.0-1"), client("MQTT-4.6.0-2"), client("MQTT-4.6.0-3"), client("MQTT-4.6.0-4"),
    cased("MQTT-4.6.0-5"), cased("MQTT-4.6.0-6"), cased("MQTT-4.7.0-1"), cased("MQTT-4.7.1-1"), cased("MQTT-4.7.1-2"),
    cased("MQTT-4.7.2-1"), cased("MQTT-4.7.3-1"), cased("MQTT-4.7.3-2"), cased("MQTT-4.7.3-3"), cased("MQTT-4.7.3-4"),
    cased("MQTT-4.8.2-1"), cased("MQTT-4.8.2-2"), cased("MQTT-4.8.2-3"), cased("MQTT-4.8.2-4"), cased("MQTT-4.8.2-5"),
    cased("MQTT-4.8.2-6"), cased("MQTT-4.9.0-1"), cased("MQTT-4.9.0-2"), cased("MQTT-4.9.0-3"),
    cased("MQTT-4.12.0-1"), cased("MQTT-4.12.0-2"), client("MQTT-4.12.0-3"), cased("MQTT-4.12.0-4"),
    cased("MQTT-4.12.0-5"), cased("MQTT-4.12.0-6"), cased("MQTT-4.12.0-7"), client("MQTT-4.12.1-1"),
    cased("MQTT-4.12.1-2"), cased("MQTT-4.13.1-1"), cased("MQTT-4.13.2-1"),
    cased("MQTT-6.0.0-1"), cased("MQTT-6.0.0-2"), client("MQTT-6.0.0-3"),
    cased("MQTT-6.0.0-4"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Standing, statements};
    use crate::cases::cases;
    use crate::wire::Version;

    fn named_by_cases(version: Version) -> BTreeSet<String> {
        cases().into_iter().filter(|case| case.version == version).flat_map(|case| case.statements).collect()
    }

    fn check(version: Version) {
        let named = named_by_cases(version);
        let table = statements(version);
        for statement in table {
            let has_case = named.contains(statement.id);
            let should = statement.standing == Standing::Cased;
            assert_eq!(
                has_case, should,
                "{version}: {} {:?}, named by a case: {has_case}",
                statement.id, statement.standing
            );
        }
        let known: BTreeSet<&str> = table.iter().map(|statement| statement.id).collect();
        assert_eq!(known.len(), table.len(), "{version}: a statement stands in the table twice");
        for name in &named {
            assert!(known.contains(name.as_str()), "{version}: a case names {name}, which does not exist");
        }
    }

    #[test]
    fn each_statement_of_3_1_1_has_a_case_or_a_reason() {
        check(Version::V311);
    }

    #[test]
    fn each_statement_of_5_0_has_a_case_or_a_reason() {
        check(Version::V5);
    }

    #[test]
    fn ids_of_cases_are_unique() {
        let ids: Vec<String> = cases().into_iter().map(|case| case.id).collect();
        let unique: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
    }
}
