//! `[database]`

/// Roles that do what the server's need not. What is not named is done by that one.
#[derive(Clone, Debug, Default)]
pub(crate) struct DatabaseRoles {
    /// Of the owner: for `mooring db`, never for the server.
    pub(crate) migrate_url: Option<String>,
    /// Of the role that stores events.
    pub(crate) ingest_url: Option<String>,
    /// Of the role for commands that only read.
    pub(crate) read_url: Option<String>,
}

impl DatabaseRoles {
    /// `url` is that of the server.
    pub(super) fn check(&self, url: Option<&str>) -> Result<(), (String, String)> {
        let roles =
            [("migrate_url", &self.migrate_url), ("ingest_url", &self.ingest_url), ("read_url", &self.read_url)];
        let is_postgres = |url: Option<&str>| url.is_some_and(|url| url.starts_with("postgres"));
        for (name, role) in roles.into_iter().filter(|(_, role)| role.is_some()) {
            let what = match (is_postgres(url), is_postgres(role.as_deref())) {
                (true, true) => continue,
                (true, false) => "expected postgres://user@host/name",
                (false, _) => "roles are for Postgres: name its database in database.url, too",
            };
            return Err((format!("database.{name}"), what.to_owned()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::DatabaseRoles;

    #[track_caller]
    fn check(url: Option<&str>, ingest_url: Option<&str>, expected: Option<&str>) {
        let roles = DatabaseRoles { ingest_url: ingest_url.map(str::to_owned), ..DatabaseRoles::default() };
        assert_eq!(roles.check(url).err().map(|(key, _)| key).as_deref(), expected, "{url:?} {ingest_url:?}");
    }

    #[test]
    fn roles_are_those_of_a_postgres() {
        check(None, None, None);
        check(Some("sqlite:///a"), None, None);
        check(Some("postgres://a@h/d"), Some("postgresql://b@h/d"), None);
        check(None, Some("postgres://b@h/d"), Some("database.ingest_url"));
        check(Some("sqlite:///a"), Some("sqlite:///a"), Some("database.ingest_url"));
        check(Some("postgres://a@h/d"), Some("sqlite:///a"), Some("database.ingest_url"));
    }
}
