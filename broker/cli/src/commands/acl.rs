//! `mooring acl`: who may do what, asked of rules and database as the server asks them.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_auth::{ANONYMOUS, AnonymousPolicy, Rights, RuleSet, system_clock};
use mooring_certs::{DeviceId, TrustDomain};
use mooring_core::{Access as _, Identity, Principal, Verdict};
use mooring_protocol::{TopicFilter, TopicName};
use mooring_store::Store;
use uuid::Uuid;

use super::{acl_diff, load_config, open_store, runtime};
use crate::args::{AclAction, AclCommand, ConfigArgs};
use crate::config::Config;
use crate::{instance, output};

pub(super) fn run(command: AclCommand) -> anyhow::Result<ExitCode> {
    match command {
        AclCommand::Test { who, action, topic, file, config } => runtime()?.block_on(async {
            let desk = Desk::open(&config, file.as_deref()).await?;
            desk.test(&who, action, &topic).await
        }),
        AclCommand::Who { topic, file, config } => runtime()?.block_on(async {
            let desk = Desk::open(&config, file.as_deref()).await?;
            desk.who(&topic).await
        }),
        AclCommand::Diff { new, file, config } => runtime()?.block_on(async {
            let settings = load_config(&config)?;
            let (old, new) = (Desk::open(&config, file.as_deref()).await?, Desk::open(&config, Some(&new)).await?);
            acl_diff::diff(&instance::read_decisions(&settings.data_dir)?, &old.rights, &new.rights)
        }),
        AclCommand::Check { file } => {
            let rules = read_rules(&file)?;
            output::line(format_args!("{}: {} rules, each usable.", file.display(), rules.len()));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn read_rules(path: &Path) -> anyhow::Result<RuleSet> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    RuleSet::parse(&text).map_err(|error| anyhow::anyhow!("{}:{}: {}", path.display(), error.line, error.what))
}

/// The rights of everybody, as a server with this configuration would load them now.
struct Desk {
    rights: Rights,
    rules: RuleSet,
    trust_domain: TrustDomain,
    /// None where there is no database yet: nobody owns anything.
    store: Option<Store>,
}

impl Desk {
    async fn open(args: &ConfigArgs, file: Option<&Path>) -> anyhow::Result<Self> {
        let config = load_config(args)?;
        let trust_domain = TrustDomain::parse(&config.server.trust_domain).context("server.trust_domain")?;
        let rights = Rights::new(&trust_domain, anonymous_policy(&config), system_clock());
        let rules = file.map_or_else(|| instance::rules(&config), read_rules)?;
        rights.set_rules(rules.clone());
        let has_database = config.database_url.is_some() || config.data_dir.join("mooring.db").exists();
        let store = if has_database { Some(open_store(args).await?.1) } else { None };
        if let Some(store) = &store {
            instance::load_rights(store, &rights).await.context("database")?;
        }
        Ok(Self { rights, rules, trust_domain, store })
    }

    async fn test(&self, who: &str, action: AclAction, topic: &str) -> anyhow::Result<ExitCode> {
        let identity = self.identity(who).await?;
        let verdict = self.verdict(&identity, action, topic)?;
        let word = if verdict.allow { "allow" } else { "deny" };
        output::line(format_args!("{word}  {}", verdict.rule));
        if self.store.is_none() {
            output::line("There is no database here: ownership and grants are not known.");
        }
        Ok(if verdict.allow { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn verdict(&self, identity: &Identity, action: AclAction, topic: &str) -> anyhow::Result<Verdict> {
        let principal = Principal {
            identity: identity.clone(),
            client_id: None,
            certificate_serial: None,
            presence_topic: None,
            address: "".into(),
            listener: "".into(),
        };
        Ok(match action {
            AclAction::Publish => {
                let topic = TopicName::parse(topic).with_context(|| format!("{topic:?} is no topic"))?;
                self.rights.publish(&principal, topic)
            }
            AclAction::Subscribe => {
                let filter = TopicFilter::parse(topic).with_context(|| format!("{topic:?} is no filter"))?;
                self.rights.subscribe(&principal, filter.inner())
            }
        })
    }

    /// What a person types, as the identity that the broker knows.
    async fn identity(&self, who: &str) -> anyhow::Result<Identity> {
        match who.split_once(':') {
            Some(("device", id)) => {
                let id: Uuid = id.parse().with_context(|| format!("{id:?} is no id of a device"))?;
                Ok(self.rights.device_identity(DeviceId::from(id)))
            }
            Some(("person", name)) => self.person(name).await,
            Some(_) => Ok(Identity::new(who)),
            None if who == ANONYMOUS => Ok(Identity::new(who)),
            None => bail!(
                "{who:?} is nobody: write device:<id>, person:<name>, user:<name>, {ANONYMOUS}, or a SPIFFE id of {}",
                self.trust_domain
            ),
        }
    }

    async fn person(&self, name: &str) -> anyhow::Result<Identity> {
        let user = match &self.store {
            Some(store) => store.user_by_name(name).await?,
            None => None,
        };
        let user = user.with_context(|| format!("no person {name:?} has an account"))?;
        self.rights.person_identity(user.id).context("the identity of this person is another's")
    }

    async fn who(&self, topic: &str) -> anyhow::Result<ExitCode> {
        let name = TopicName::parse(topic).with_context(|| format!("{topic:?} is no topic"))?;
        let mut table = Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["who", "reads", "writes"]);
        for (label, identity) in self.candidates(topic).await? {
            let reads = self.verdict(&identity, AclAction::Subscribe, topic)?;
            let writes = self.verdict(&identity, AclAction::Publish, topic)?;
            table.add_row([label, said(&reads), said(&writes)]);
        }
        output::line(table);
        let rules = self.rules.concerning(name);
        if !rules.is_empty() {
            let mut table = Table::new();
            table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["rule", "effect", "action", "who", "topic"]);
            for rule in rules {
                table.add_row([&rule.name, rule.effect, rule.action, rule.who.as_str(), rule.target.as_str()]);
            }
            output::line(format_args!("Rules that concern it; of those for somebody, the first decides:\n{table}"));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Whoever may have a part in a topic by what they are: for the topic of a device, itself, its owner and whom they let in; and nobody.
    async fn candidates(&self, topic: &str) -> anyhow::Result<Vec<(String, Identity)>> {
        let mut candidates = vec![(ANONYMOUS.to_owned(), Identity::new(ANONYMOUS))];
        let id = topic.strip_prefix("devices/").and_then(|rest| rest.split('/').next());
        let Some(device) = id.and_then(|id| id.parse::<Uuid>().ok()) else { return Ok(candidates) };
        candidates.push((format!("device:{device}"), self.rights.device_identity(DeviceId::from(device))));
        let Some(store) = &self.store else { return Ok(candidates) };
        let owner = store.device(device).await?.and_then(|device| device.owner);
        let grants = store.grants_of_device(device).await?;
        let granted = grants.iter().filter(|grant| grant.ended_at.is_none());
        let mut people: Vec<(Uuid, &str)> = granted.map(|grant| (grant.user, grant.role.as_str())).collect();
        people.extend(owner.map(|owner| (owner, "owner")));
        for (user, part) in people {
            let name = store.user(user).await?.map_or_else(|| user.to_string(), |user| user.name);
            candidates.extend(
                self.rights.person_identity(user).map(|identity| (format!("person:{name} ({part})"), identity)),
            );
        }
        Ok(candidates)
    }
}

fn said(verdict: &Verdict) -> String {
    let word = if verdict.allow { "yes" } else { "no" };
    format!("{word}: {}", verdict.rule)
}

fn anonymous_policy(config: &Config) -> AnonymousPolicy {
    if config.listeners.iter().any(|listener| listener.allow_anonymous) {
        AnonymousPolicy::AllowAll
    } else {
        AnonymousPolicy::Deny
    }
}
