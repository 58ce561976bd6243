//! The rules of MQTT and of this broker, one test for each, on engines that are stepped in virtual time.

mod bench;
mod text;

mod acl;
mod connecting;
mod durability;
mod limits;
mod presence;
mod publishing;
mod retained;
mod sessions;
mod shards;
mod shared;
mod subscribing;
mod wills;
