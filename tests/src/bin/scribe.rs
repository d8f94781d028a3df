//! Saves answers and a configuration as fast as it can, until it is killed: `scribe STATE RUNTIME FIRST`.
//!
//! Everything in one save tells its number (see `enforcer_lab::scribe`), so that a mix of two would be seen.

use std::path::PathBuf;

use anyhow::{Context, Result};
use enforcer::state::{Folders, Moment, answers, configuration};
use enforcer_lab::scribe;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let mut next = || arguments.next().context("usage: scribe STATE RUNTIME FIRST");
    let folders = Folders {
        state: PathBuf::from(next()?),
        runtime: PathBuf::from(next()?),
    };
    let first = next()?;
    let first: u32 = first.to_str().context("a number")?.parse()?;
    let boot = Moment::now();
    for number in first.. {
        let save = scribe::save(number, boot.later());
        answers::save(&folders.state, &save)?;
        answers::save(&folders.runtime, &save)?;
        configuration::save(&folders.state, &scribe::configuration(number))?;
    }
    Ok(())
}
