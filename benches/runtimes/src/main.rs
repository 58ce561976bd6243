//! The least broker that the rows `pairs`, `fan-out` and `fan-in` can use (MQTT 3.1.1, QoS 0 and 1, topics without wildcards), on two kinds of runtime:
//!
//! - `shards`: one thread with a runtime and a state of its own for each core; what crosses goes in batches.
//! - `multi`: one runtime of many threads; state under locks, a queue and a writing task for each connection.
//!
//! Both parse with the same code, and both leave out what does not decide between them. docs/decisions/0004 has what was found.

mod multi;
mod parse;
mod shards;

use std::net::TcpListener;

use anyhow::{Context, Result, bail};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mooring-runtimes shards|multi THREADS PORT`
fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [kind, threads, port] = arguments.as_slice() else { bail!("usage: mooring-runtimes shards|multi THREADS PORT") };
    let threads: usize = threads.parse().context("THREADS")?;
    let listener = TcpListener::bind(("127.0.0.1", port.parse().context("PORT")?))?;
    match kind.as_str() {
        "shards" => shards::run(&listener, threads),
        "multi" => multi::run(&listener, threads),
        other => bail!("{other} is neither shards nor multi"),
    }
}
