//! A value as a file or the environment gives it, and its conversion into what a setting needs.

use std::net::SocketAddr;

use mooring_server::Pinning;
use toml::de::DeValue;

/// A raw value: typed from TOML, or a text from the environment that the setting's type decides on.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Value>),
    /// From the environment: a number, a boolean or a comma-separated list are written as text.
    Environment(String),
}

impl Value {
    /// From TOML; tables and dates are no values of any setting.
    pub(super) fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Ok(Self::Text(text.to_string())),
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .map(Self::Integer)
                .map_err(|_| format!("{integer} is no 64-bit integer")),
            DeValue::Boolean(boolean) => Ok(Self::Boolean(*boolean)),
            DeValue::Array(items) => {
                items.iter().map(|item| Self::from_toml(item.get_ref())).collect::<Result<_, _>>().map(Self::List)
            }
            DeValue::Float(float) => Err(format!("expected no fraction, got {}", float.as_str())),
            DeValue::Datetime(date) => Err(format!("expected no date, got {date}")),
            DeValue::Table(_) => Err("expected a value, got a table".to_owned()),
        }
    }

    pub(super) fn text(&self) -> Result<String, String> {
        match self {
            Self::Text(text) | Self::Environment(text) => Ok(text.clone()),
            other => Err(format!("expected a text in quotes, got {}", other.kind())),
        }
    }

    pub(super) fn integer(&self, min: i64, max: i64) -> Result<i64, String> {
        let number = match self {
            Self::Integer(number) => *number,
            Self::Environment(text) => {
                text.trim().parse().map_err(|_| format!("expected a whole number, got {text:?}"))?
            }
            other => return Err(format!("expected a whole number, got {}", other.kind())),
        };
        if (min..=max).contains(&number) { Ok(number) } else { Err(format!("{number} is not between {min} and {max}")) }
    }

    pub(super) fn boolean(&self) -> Result<bool, String> {
        match self {
            Self::Boolean(boolean) => Ok(*boolean),
            Self::Environment(text) if text == "true" => Ok(true),
            Self::Environment(text) if text == "false" => Ok(false),
            Self::Environment(text) => Err(format!("expected true or false, got {text:?}")),
            other => Err(format!("expected true or false, got {}", other.kind())),
        }
    }

    pub(super) fn list(&self) -> Result<Vec<String>, String> {
        match self {
            Self::List(items) => items.iter().map(Self::text).collect(),
            Self::Environment(text) => Ok(text.split(',').map(|part| part.trim().to_owned()).collect()),
            other => Err(format!("expected a list of texts, got {}", other.kind())),
        }
    }

    /// Whether threads stay on cores, and on which.
    pub(super) fn pinning(&self) -> Result<Pinning, String> {
        let core = |item: &Self| item.integer(0, 4095).map(|core| usize::try_from(core).unwrap_or_default());
        let cores = match self {
            Self::List(items) => items.iter().map(core).collect::<Result<Vec<_>, _>>()?,
            Self::Environment(text) if text.starts_with(|first: char| first.is_ascii_digit()) => {
                text.split(',').map(|part| core(&Self::Environment(part.to_owned()))).collect::<Result<_, _>>()?
            }
            other => {
                return Ok(if other.boolean()? { Pinning::Each } else { Pinning::Free });
            }
        };
        if cores.is_empty() { Err("expected at least one core".to_owned()) } else { Ok(Pinning::Cores(cores)) }
    }

    pub(super) fn address(&self) -> Result<SocketAddr, String> {
        let text = self.text()?;
        text.parse().map_err(|_| format!("expected an address and port such as \"127.0.0.1:8883\", got {text:?}"))
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, String> {
        let text = self.text()?;
        choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
            let words = choices.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
            format!("expected one of {words}, got {text:?}")
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Environment(_) => "a text",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
        }
    }
}
