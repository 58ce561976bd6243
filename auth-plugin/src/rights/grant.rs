//! What owners, and those whom they let in, may do with a device.

use std::borrow::Cow;

use mooring_certs::DeviceId;
use mooring_protocol::TopicFilter;
use uuid::Uuid;

use crate::rules::Asked;

/// A part in a device that its owner gave to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The grant's id.
    pub id: Uuid,
    /// On which device.
    pub device: DeviceId,
    /// To whom.
    pub user: Uuid,
    /// As what.
    pub role: Role,
    /// When it ends by itself, in milliseconds since the Unix epoch: from then on it gives nothing.
    pub until_unix_ms: Option<u64>,
}

impl Grant {
    pub(super) fn has_ended(&self, now_unix_ms: u64) -> bool {
        self.until_unix_ms.is_some_and(|until| until <= now_unix_ms)
    }
}

/// What a grant makes of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Sees the device.
    Guest,
    /// Sees and commands it.
    Member,
    /// Has these scopes.
    Technician(Vec<Scope>),
}

impl Role {
    /// Reads the name and the scopes that a grant is recorded with; none for another name. A scope that is not known gives no right.
    #[must_use]
    pub fn from_names(role: &str, scopes: &[String]) -> Option<Self> {
        match role {
            "guest" => Some(Self::Guest),
            "member" => Some(Self::Member),
            "technician" => {
                let (known, unknown): (Vec<_>, Vec<_>) =
                    scopes.iter().partition(|name| Scope::from_name(name).is_some());
                if !unknown.is_empty() {
                    tracing::warn!(?unknown, "a grant has scopes that are not known");
                }
                Some(Self::Technician(known.into_iter().filter_map(|name| Scope::from_name(name)).collect()))
            }
            _ => None,
        }
    }

    /// Whether this role may, with `rest` the levels after `devices/<id>/`.
    pub(super) fn may(&self, rest: Option<&str>, asked: Asked<'_>) -> bool {
        match (self, asked) {
            (Self::Guest | Self::Member, Asked::Subscribe(_)) => true,
            (Self::Guest, Asked::Publish(_)) => false,
            (Self::Member, Asked::Publish(_)) => is_command(rest),
            (Self::Technician(scopes), _) => scopes.iter().any(|scope| scope.may(rest, asked)),
        }
    }
}

/// An owner sees everything of a device, and commands it. The desired state is not among it: the API numbers its versions.
pub(super) fn owner_may(rest: Option<&str>, asked: Asked<'_>) -> bool {
    match asked {
        Asked::Subscribe(_) => true,
        Asked::Publish(_) => is_command(rest),
    }
}

/// What the name of a scope for one command begins with.
const COMMAND_PREFIX: &str = "command:";

macro_rules! scopes {
    ($($(#[$doc:meta])* $scope:ident = $name:literal, $filter:literal;)*) => {
        /// What a technician may be allowed to, each by itself.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Scope {
            $($(#[$doc])* $scope,)*
            /// To send the command of this name, and to see its results: `command:<name>`.
            Command(Box<str>),
        }

        impl Scope {
            /// All of them but those for one command.
            pub const ALL: &[Self] = &[$(Self::$scope),*];

            /// The name in the API and in the database.
            #[must_use]
            pub fn name(&self) -> Cow<'static, str> {
                match self {
                    $(Self::$scope => $name.into(),)*
                    Self::Command(name) => format!("{COMMAND_PREFIX}{name}").into(),
                }
            }

            /// What may be subscribed to, below `devices/<id>/`.
            fn filter(&self) -> Cow<'static, str> {
                match self {
                    $(Self::$scope => $filter.into(),)*
                    Self::Command(name) => format!("commands/{name}/result/+").into(),
                }
            }
        }
    };
}

scopes! {
    /// To see `telemetry`.
    TelemetryRead = "telemetry:read", "telemetry";
    /// To see `events/{name}`.
    EventsRead = "events:read", "events/#";
    /// To see `logs`.
    LogsRead = "logs:read", "logs";
    /// To see `state/reported` and `state/desired`.
    StateRead = "state:read", "state/#";
    /// To see `presence`.
    PresenceRead = "presence:read", "presence";
    /// To see commands and their results.
    CommandsRead = "commands:read", "commands/#";
    /// To send `commands/{name}`, and to see the results.
    CommandsSend = "commands:send", "commands/+/result/+";
    /// To see offers of updates and their progress.
    UpdateRead = "update:read", "update/#";
}

impl Scope {
    /// The scope with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(command) = name.strip_prefix(COMMAND_PREFIX) {
            let usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let is_name = (1..=64).contains(&command.len()) && command.bytes().all(usable);
            return is_name.then(|| Self::Command(command.into()));
        }
        Self::ALL.iter().find(|scope| scope.name() == name).cloned()
    }

    fn may(&self, rest: Option<&str>, asked: Asked<'_>) -> bool {
        match (asked, self) {
            (Asked::Publish(_), Self::CommandsSend) => is_command(rest),
            (Asked::Publish(_), Self::Command(name)) => {
                rest.and_then(|rest| rest.strip_prefix("commands/")) == Some(name.as_ref())
            }
            (Asked::Publish(_), _) => false,
            (Asked::Subscribe(_), _) => rest.is_some_and(|rest| contains(&self.filter(), rest)),
        }
    }
}

fn contains(granted: &str, asked: &str) -> bool {
    match (TopicFilter::parse(granted), TopicFilter::parse(asked)) {
        (Ok(granted), Ok(asked)) => granted.contains(asked),
        _ => false,
    }
}

/// `commands/{name}`, and nothing deeper: results are the device's to publish.
fn is_command(rest: Option<&str>) -> bool {
    rest.and_then(|rest| rest.strip_prefix("commands/")).is_some_and(|name| !name.is_empty() && !name.contains('/'))
}
