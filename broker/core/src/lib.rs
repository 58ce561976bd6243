//! The deterministic MQTT engine: sessions, routing, retained messages, wills.
