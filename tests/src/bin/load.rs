//! The load of the fault table, `load STALL_MS`; see `enforcer_lab::load`.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use enforcer_lab::load::program;

fn main() -> Result<()> {
    let usage = "usage: load STALL_MS";
    let stall = std::env::args().nth(1).context(usage)?.parse().context(usage)?;
    program::run(
        Duration::from_millis(stall),
        io::stdin().lock(),
        io::stdout().lock(),
    )
}
