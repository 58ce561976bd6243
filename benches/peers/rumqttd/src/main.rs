//! Starts rumqttd with the TOML configuration that is the only argument.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: mooring-peer-rumqttd CONFIG.toml")?;
    let config: rumqttd::Config = toml::from_str(&std::fs::read_to_string(path)?)?;
    rumqttd::Broker::new(config).start()?;
    Ok(())
}
