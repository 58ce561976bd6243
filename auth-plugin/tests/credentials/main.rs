//! User names, passwords and tokens: who is let in by them, and as whom.

mod door;
mod tokens;
