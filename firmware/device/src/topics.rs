//! The topics of one device.

use alloc::format;
use alloc::string::String;

/// The topics of one device, all below `devices/<id>/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceTopics {
    prefix: String,
}

impl DeviceTopics {
    /// For the device with this id: a lower-case hyphenated UUID, as enrolment gave it.
    #[must_use]
    pub fn new(device_id: &str) -> Self {
        Self { prefix: format!("devices/{device_id}/") }
    }

    /// Measurements, device to cloud.
    #[must_use]
    pub fn telemetry(&self) -> String {
        self.topic("telemetry")
    }

    /// Something that happened, device to cloud.
    #[must_use]
    pub fn event(&self, name: &str) -> String {
        self.topic(&format!("events/{name}"))
    }

    /// The state that the device reports, as a JSON merge patch (RFC 7386), device to cloud.
    #[must_use]
    pub fn state_reported(&self) -> String {
        self.topic("state/reported")
    }

    /// The state that the cloud wishes, retained and versioned, cloud to device.
    #[must_use]
    pub fn state_desired(&self) -> String {
        self.topic("state/desired")
    }

    /// The filter for every command, cloud to device.
    #[must_use]
    pub fn commands(&self) -> String {
        self.topic("commands/+")
    }

    /// The name of the command that this topic carries, if it is one of this device's.
    #[must_use]
    pub fn command_name<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let name = topic.strip_prefix(self.prefix.as_str())?.strip_prefix("commands/")?;
        (!name.is_empty() && !name.contains('/')).then_some(name)
    }

    fn topic(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }
}
