//! The tokio driver of the engine: listeners, TLS, WebSocket, shards, timers.
