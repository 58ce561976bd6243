//! What SIGHUP makes new while connections stay: limits, rules, users, the server's certificate.

use anyhow::Context as _;
use mooring_auth::{Rights, RuleSet};

use super::{Instance, credentials};
use crate::config::Config;

impl Instance {
    /// Puts new settings in force; all of them or, with a mistake in any, none.
    pub(crate) fn reload(&self, config: &Config) -> anyhow::Result<()> {
        let rules = rules(config)?;
        let users = credentials::users(config)?;
        let scram_users = credentials::scram_users(config)?;
        self.identity.public().reload().context("public_certificate")?;
        self.identity.reload_authority(&self.data_dir.authority(), config).context("the authority")?;
        self.identity.replace()?;
        self.rights.set_rules(rules);
        let node = self.server.node();
        node.set_limits(&config.limits);
        node.set_connection_limits(&config.connections);
        node.access_changed(None);
        let mut gone = self.users.replace(users);
        gone.extend(self.scram_users.replace(&scram_users)?);
        tokio::spawn(credentials::end_gone(gone, node));
        Ok(())
    }
}

/// Loads the operator's rules; a file that does not parse stops the start.
pub(super) fn load_rules(config: &Config, rights: &Rights) -> anyhow::Result<()> {
    rights.set_rules(rules(config)?);
    Ok(())
}

/// The rules of the file that the configuration names.
pub(crate) fn rules(config: &Config) -> anyhow::Result<RuleSet> {
    let Some(path) = &config.acl_file else { return Ok(RuleSet::default()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("acl.file: {}", path.display()))?;
    RuleSet::parse(&text).map_err(|error| anyhow::anyhow!("{}:{}: {}", path.display(), error.line, error.what))
}
