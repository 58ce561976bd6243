//! The engine's durable log and its checkpoints.
